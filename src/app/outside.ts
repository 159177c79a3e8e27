// What a fleet does for those outside who are not its clients, put together: jobs and schedules are run, messages
// become jobs, what happened is delivered. In one process all of it; in a cluster the session managers do it, and the
// one that leads runs and delivers.

import type { Config } from '../config/resolve.ts';
import type { EventTopic, MessageSource } from '../contracts/message-source.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { Records } from '../contracts/records.ts';
import type { Clock } from '../core/clock.ts';
import type { WorkerStatus } from '../contracts/worker-link.ts';
import { nextRun } from '../api/cron.ts';
import { createJobRequestSchema, toDueAt, toJobNotice, toJobSpec } from '../api/jobs.ts';
import { invalidRequest, validate } from '../api/validation.ts';
import { cancelJobTurn, type JobTurnsParts, startJobTurn } from '../gateway/job-turns.ts';
import { mintWebhookSecret } from '../gateway/webhook-secret.ts';
import type { Duty } from '../manager/duty.ts';
import { attemptSessionId, attemptTurnId } from '../manager/jobs/attempt-ids.ts';
import { JobIntake } from '../manager/jobs/job-intake.ts';
import { JobRunner } from '../manager/jobs/job-runner.ts';
import type { JobTurns } from '../manager/jobs/job-turns.ts';
import { ScheduleRunner } from '../manager/jobs/schedule-runner.ts';
import { DeliveryLoop } from '../manager/webhooks/delivery-loop.ts';
import { RecordOutbox } from '../manager/webhooks/record-outbox.ts';
import type { Metrics } from '../observability/metrics.ts';
import { continuationId } from '../worker/continuation.ts';
import { gatewaySettings } from './gateway-settings.ts';
import { hostOf } from './google-stores.ts';
import { fleetVersion } from './version.ts';

export type OutboxParts = {
  readonly config: Config;
  readonly records: Records;
  readonly clock: Clock;
  /** Something is to be delivered: for who delivers in the same process. */
  readonly onPut?: () => void;
};

export function openOutbox({ config, ...parts }: OutboxParts): Outbox {
  return new RecordOutbox({ ...parts, topic: config.pubsub.eventsTopic !== null });
}

export type OutsideParts = Omit<JobTurnsParts, 'allowedSandboxes' | 'defaultSandbox' | 'limits'> & {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly workers: () => Promise<readonly WorkerStatus[]>;
};

export class Outside {
  readonly #parts: OutsideParts;
  readonly #topic: EventTopic | null;
  #jobs: JobRunner | null = null;
  #deliveries: DeliveryLoop | null = null;

  private constructor(parts: OutsideParts, topic: EventTopic | null) {
    this.#parts = parts;
    this.#topic = topic;
  }

  static async open(parts: OutsideParts): Promise<Outside> {
    return new Outside(parts, await openTopic(parts.config, parts.clock));
  }

  /** After the duties of the last term have stopped. */
  async close(): Promise<void> {
    await this.#topic?.close();
  }

  /** A job was made in this process: nothing, where another runs them. */
  readonly jobMade = (): void => this.#jobs?.poke();

  /** Something is to be delivered. */
  readonly noticePut = (): void => this.#deliveries?.poke();

  /** For one term; the next has duties of its own. */
  duties(): readonly Duty[] {
    const { clock, config, logger, metrics, outbox, records } = this.#parts;
    const runner = new JobRunner({
      ...{ clock, logger, metrics, outbox, records },
      settings: { sharePercent: config.jobs.sharePercent, retainMs: config.jobs.retainMs },
      turns: this.#jobTurns(),
      slots: () => this.#slots(),
      toJobResource: toJobNotice,
    });
    const schedules = new ScheduleRunner({
      ...{ clock, logger, nextRun, records },
      settings: { maxOpenPerTenant: config.jobs.maxOpenPerTenant },
      onJobMade: () => runner.poke(),
    });
    const deliveries = new DeliveryLoop({
      ...{ clock, logger, metrics, records },
      topic: this.#topic,
      random: Math.random,
      settings: {
        timeoutMs: config.webhooks.timeoutMs,
        retainMs: config.webhooks.retainMs,
        allowHttp: config.webhooks.allowHttp,
        allowPrivate: config.webhooks.allowPrivate,
      },
      version: fleetVersion,
    });
    this.#jobs = runner;
    this.#deliveries = deliveries;
    return [runner, schedules, deliveries];
  }

  #jobTurns(): JobTurns {
    const { config, ...parts } = this.#parts;
    const { allowedSandboxes = [], defaultSandbox = 'workspace-write', limits } = gatewaySettings(config);
    const starting: JobTurnsParts = { ...parts, allowedSandboxes, defaultSandbox, limits };
    const { turns } = parts.records;
    return {
      start: (job, attempt) => {
        const ids = { turnId: attemptTurnId(job, attempt), sessionId: attemptSessionId(job, attempt) };
        return startJobTurn(starting, job, ids);
      },
      find: (job, attempt) => turns.get(job.tenant, attemptTurnId(job, attempt)),
      continuation: (turn) => turns.get(turn.tenant, continuationId(turn.id)),
      cancel: (turn) => cancelJobTurn(parts, turn),
    };
  }

  async #slots(): Promise<number> {
    const workers = await this.#parts.workers();
    return workers.reduce((sum, { slots, state }) => sum + (state === 'ready' ? slots.limit : 0), 0);
  }
}

export type JobMessages = Duty & Pick<MessageSource, 'state'>;

/** null where no subscription is to be read. Started and stopped by the caller. */
export async function openJobMessages(
  parts: Pick<OutsideParts, 'clock' | 'config' | 'logger' | 'metrics' | 'records'>,
  onJobMade: () => void,
): Promise<JobMessages | null> {
  const { clock, config, logger, metrics, records } = parts;
  const { google, jobs, pubsub, server } = config;
  const subscription = pubsub.jobsSubscription;
  if (subscription === null) return null;
  const { openMessageSource } = await import('../adapters/pubsub/open-message-source.ts');
  const source: MessageSource = openMessageSource({
    ...{ clock, logger, subscription },
    ...pubsubAccess(config),
    deadLetterTopic: pubsub.deadLetterTopic,
    maxMessages: pubsub.maxMessages,
    timeoutMs: google.timeoutMs,
  });
  const { limits, receivers } = gatewaySettings(config);
  const tenants = new Set(['default', ...config.tokens.map(({ tenant }) => tenant)]);
  const intake = new JobIntake({
    ...{ clock, logger, metrics, subscription },
    jobs: records.jobs,
    readJob: (value) => {
      const request = validate(createJobRequestSchema, value, 'body');
      // It would be made here, and nobody would ever be shown it.
      if (request.webhook && !request.webhook.secret)
        throw invalidRequest([{ field: 'webhook.secret', message: 'is required in a message' }], 'body');
      const rules = { ...limits, receivers: receivers ?? { allowHttp: false, allowPrivate: [] } };
      return { spec: toJobSpec(request, rules, mintWebhookSecret), runAt: toDueAt(request, clock.now()) };
    },
    isTenant: (tenant) => tenants.has(tenant),
    maxBodyBytes: server.bodyLimitExecBytes,
    maxOpenPerTenant: jobs.maxOpenPerTenant,
  });
  return {
    start: () =>
      source.start(async (message) => {
        const answer = await intake.handle(message);
        if (answer.outcome === 'done') onJobMade();
        return answer;
      }),
    state: () => source.state(),
    stop: () => source.stop(),
  };
}

function pubsubAccess({ google }: Config): { project: string | null; endpoint?: string } {
  const { project, pubsubEmulator } = google;
  return { project, ...(pubsubEmulator === null ? {} : { endpoint: hostOf(pubsubEmulator) }) };
}

/** null where the settings name none. */
async function openTopic(config: Config, clock: Clock): Promise<EventTopic | null> {
  const { google, pubsub } = config;
  const topic = pubsub.eventsTopic;
  if (topic === null) return null;
  const { PubsubEventTopic } = await import('../adapters/pubsub/pubsub-event-topic.ts');
  return new PubsubEventTopic({ ...pubsubAccess(config), topic, timeoutMs: google.timeoutMs, clock });
}
