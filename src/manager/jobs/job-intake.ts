// Makes a job of a message: whose it is, which job it asks for, and whether that one is there already. It is
// acknowledged once the job's record is durable; running it is another part's business.
//
// The id of the job follows from the message, so that one that comes twice makes one job. Jobs of one ordering
// key are created in the order in which their messages were published, each before the next is looked at. That
// orders their records and nothing more: they are attempts of independent turns, and run as slots are free.
// Who wants them to run one after the other names the same session in each of them.

import { createHash } from 'node:crypto';
import type { JobRecords } from '../../contracts/job-records.ts';
import type { IncomingMessage, MessageAnswer } from '../../contracts/message-source.ts';
import type { Clock } from '../../core/clock.ts';
import { type ErrorCode, isServiceError, ServiceError } from '../../core/errors.ts';
import { idOfDigest, type TenantId } from '../../core/ids.ts';
import { type JobRecord, type JobSpec, newJob } from '../../core/job.ts';
import type { Logger } from '../../observability/logger.ts';
import type { MessageOutcome, Metrics } from '../../observability/metrics.ts';
import { readJobMessage } from './job-message.ts';

export type JobIntakeOptions = {
  readonly jobs: Pick<JobRecords, 'create' | 'get' | 'countOpen'>;
  /** What `POST /api/v1/jobs` makes of its body; throws a ServiceError of a code below for one that it refuses. */
  readonly readJob: (value: unknown) => { readonly spec: JobSpec; readonly runAt: number | null };
  readonly isTenant: (tenant: TenantId) => boolean;
  /** Where messages come from: their ids are unique within it. */
  readonly subscription: string;
  readonly maxBodyBytes: number;
  readonly maxOpenPerTenant: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'messages'> | null;
};

const defaultTenant = 'default';

/** Whatever is tried, such a message never becomes a job. */
const hopeless: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid_request',
  'invalid_json',
  'unsupported_media_type',
  'payload_too_large',
  'idempotency_key_reused',
  'forbidden',
]);

/** Of the same message, later: these are nobody's fault. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'store_unavailable',
  'store_conflict',
  'storage_full',
  'too_many_jobs',
  'rate_limited',
  'draining',
]);

export class JobIntake {
  readonly #options: JobIntakeOptions;

  constructor(options: JobIntakeOptions) {
    this.#options = options;
  }

  /** Rejects only for a defect of ours. */
  async handle(message: IncomingMessage): Promise<MessageAnswer> {
    try {
      this.#count(await this.#accept(message));
      return { outcome: 'done' };
    } catch (error) {
      if (isServiceError(error) && hopeless.has(error.code)) return this.#refuse(message, error);
      this.#count('put_back');
      if (isServiceError(error) && passing.has(error.code)) return { outcome: 'later' };
      throw error;
    }
  }

  async #accept(message: IncomingMessage): Promise<MessageOutcome> {
    const { clock, isTenant, jobs, maxBodyBytes, maxOpenPerTenant, readJob, subscription } = this.#options;
    const tenant = message.attributes['tenant'] ?? defaultTenant;
    if (!isTenant(tenant)) throw new ServiceError('forbidden', { attribute: 'tenant' });
    const { key, value } = readJobMessage(message, { maxBodyBytes, subscription });
    const id = idOfDigest(sha256(['pubsub-job', tenant, key]));
    const requestHash = sha256(sorted(value)).toString('hex');
    // A repeat is answered before any limit: its job is there already.
    const before = await jobs.get(tenant, id);
    if (before !== null) return repeatOf(before, requestHash);

    const { runAt, spec } = readJob(value);
    const open = await jobs.countOpen(tenant, maxOpenPerTenant);
    if (open >= maxOpenPerTenant) throw new ServiceError('too_many_jobs', { limit: maxOpenPerTenant });
    const nowMs = clock.now();
    const record: JobRecord = {
      ...newJob,
      tenant,
      id,
      spec,
      source: 'pubsub',
      scheduleId: null,
      requestHash,
      requestId: message.id,
      createdBy: 'pubsub',
      dueAt: runAt ?? nowMs,
      createdAt: nowMs,
    };
    const { outcome, record: standing } = await jobs.create(record);
    return outcome === 'created' ? 'accepted' : repeatOf(standing, requestHash);
  }

  #refuse(message: IncomingMessage, error: ServiceError): MessageAnswer {
    this.#count('refused');
    const reason = reasonOf(error);
    this.#options.logger.warn(
      { event: 'message_refused', message_id: message.id, code: error.code, delivery_attempt: message.deliveryAttempt },
      'A message cannot become a job',
    );
    return { outcome: 'poison', reason };
  }

  #count(outcome: MessageOutcome): void {
    this.#options.metrics?.messages.inc({ outcome });
  }
}

function repeatOf(standing: JobRecord, requestHash: string): MessageOutcome {
  if (standing.requestHash !== requestHash) throw new ServiceError('idempotency_key_reused', { job_id: standing.id });
  return 'repeated';
}

/** For a person who looks at what was put aside: the code and what it says; never the prompt. */
function reasonOf({ code, details, message }: ServiceError): string {
  const facts = Object.keys(details).length === 0 ? '' : ` ${JSON.stringify(details)}`;
  return `${code}: ${message}${facts}`;
}

function sha256(value: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(value)).digest();
}

/** The same for the same content, in whichever order its fields were written. Its depth was bounded by who read it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return entries.map(([name, of]) => [name, sorted(of)]);
}
