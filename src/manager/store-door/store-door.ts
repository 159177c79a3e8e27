// The store door of a session manager: through it workers reach records and snapshots, so that they need no identity,
// no token and no directory of their own for them. Keeps no state: any replica answers, standbys too. Owns who may
// come in, how many at once and how long each may take; what the calls do is beside it.

import { createHash, timingSafeEqual } from 'node:crypto';
import {
  deadlineHeader,
  mostQuestionBytes,
  putObjectFacts,
  readObjectAsked,
  type StoreCall,
  storeCalls,
  storeFactsHeader,
  storePath,
} from '../../api/store-wire.ts';
import { sumBytes } from '../../api/octet-sum.ts';
import { validate } from '../../api/validation.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import { bearerTokenOf } from '../../http/bearer.ts';
import { decodeUtf8 } from '../../http/json-body.ts';
import { parseJsonObject } from '../../http/json-text.ts';
import type { ListenAddress } from '../../http/listener.ts';
import { octetsOf, useOctetBodies } from '../../http/octet-body.ts';
import { sendOctets } from '../../http/octet-reply.ts';
import { createHttpServer, type HttpLimits, type HttpServer } from '../../http/server.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { DoorOperation, DoorOutcome } from '../../observability/store-door-metrics.ts';
import { DoorGate } from './door-gate.ts';
import { mostObjectBytes, putObject, readObject, readStepBytes } from './door-objects.ts';
import { type DoorHandlers, doorHandlers, type DoorStores, operationOf } from './door-records.ts';

export type StoreDoorOptions = {
  readonly stores: DoorStores;
  /** Shown by whoever asks: `internalCredential(secret, 'session-manager', storeDoorScope)`. */
  readonly credential: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly listen: ListenAddress;
  readonly limits?: Partial<StoreDoorLimits>;
  readonly httpLimits?: Partial<HttpLimits>;
};

export type StoreDoorLimits = {
  readonly mostCalls: number;
  /** Of the bodies of calls in JSON that are at work. */
  readonly mostCallBytes: number;
  /** Each may hold what its store holds of one put: some 8 MiB with Cloud Storage. */
  readonly mostObjects: number;
  readonly mostWaiting: number;
  /** For an upload to bring its next piece, or a reader to take one. */
  readonly stallMs: number;
  readonly uploadMs: number;
};

const MiB = 1024 * 1024;

export const defaultStoreDoorLimits: StoreDoorLimits = {
  mostCalls: 256,
  mostCallBytes: 96 * MiB,
  mostObjects: 24,
  mostWaiting: 4_096,
  stallMs: 30_000,
  uploadMs: 30 * 60_000,
};

/** Who does not say waits so long; who says more is not believed. */
const usualDeadlineMs = 10_000;
const longestDeadlineMs = 5 * 60_000;
/** Records hold what tenants and Codex have put into them: schemas, questions of tools. */
const recordBounds = { depth: 256, values: 1_000_000 };
/** The form of what is asked is known: nobody may send more than a question takes. */
const smallQuestionBytes = 64 * 1024;

export function createStoreDoor(options: StoreDoorOptions): HttpServer {
  const { clock, logger, metrics } = options;
  // A worker keeps an idle connection for 20 s: it must not meet our end of it.
  const server = createHttpServer({ clock, logger, metrics, listen: options.listen, limits: options.httpLimits ?? {} });
  new StoreDoor(options).register(server.app);
  return server;
}

type App = HttpServer['app'];
type Request = Parameters<typeof octetsOf>[0];
type Reply = Parameters<typeof octetsOf>[1];
type Call = { readonly operation: DoorOperation; readonly fromMs: number; outcome: DoorOutcome };

class StoreDoor {
  readonly #options: StoreDoorOptions;
  readonly #limits: StoreDoorLimits;
  readonly #handlers: DoorHandlers;
  readonly #calls: DoorGate;
  readonly #objects: DoorGate;

  constructor(options: StoreDoorOptions) {
    const { clock, metrics, stores } = options;
    const limits = { ...defaultStoreDoorLimits, ...options.limits };
    this.#options = options;
    this.#limits = limits;
    this.#handlers = doorHandlers(stores);
    const shared = { clock, waiting: metrics.storeDoorWaiting, mostWaiting: limits.mostWaiting };
    this.#calls = new DoorGate({ ...shared, mostCalls: limits.mostCalls, mostBytes: limits.mostCallBytes });
    this.#objects = new DoorGate({
      ...shared,
      mostCalls: limits.mostObjects,
      mostBytes: Number.POSITIVE_INFINITY,
    });
  }

  register(app: App): void {
    void app.register(async (inner) => {
      guard(inner, this.#options.credential);
      // Bodies are read here, once there is room for them.
      useOctetBodies(inner);
      // Who may ask was looked at by the guard.
      const config = { isOpen: true, route: 'stores' } as const;
      for (const call of Object.keys(storeCalls) as StoreCall[]) {
        inner.post(storePath(call), { config }, (request, reply) =>
          this.#counted(operationOf[call], reply, (state) => this.#answer(call, state, request, reply)),
        );
      }
      inner.post(storePath('objects.put'), { config }, (request, reply) =>
        this.#counted('object_write', reply, () => this.#put(request, reply)),
      );
      inner.post(storePath('objects.read'), { config }, (request, reply) =>
        this.#counted('object_read', reply, (state) => this.#read(state, request, reply)),
      );
    });
  }

  async #answer(call: StoreCall, state: Call, request: Request, reply: Reply): Promise<Reply> {
    const endMs = state.fromMs + deadlineOf(request);
    const leave = await this.#calls.enter(announcedBytes(request), (endMs - state.fromMs) / 2);
    let work: Promise<{ readonly text: string; readonly isConflict: boolean }>;
    try {
      const asked: unknown = await this.#question(request, reply, mostQuestionBytes, endMs);
      const handle = this.#handlers[call] as (asked: unknown) => ReturnType<DoorHandlers[StoreCall]>;
      work = handle(validate(storeCalls[call], asked, 'body'));
    } catch (error) {
      leave();
      throw error;
    }
    // What is at work in the store takes its room until it is over, whether or not anybody waits for it.
    void work.then(leave, leave);
    const { isConflict, text } = await this.#inTime(work, endMs);
    if (isConflict) state.outcome = 'conflict';
    return reply.type('application/json').send(Buffer.from(text));
  }

  async #put(request: Request, reply: Reply): Promise<Reply> {
    const { clock, stores } = this.#options;
    const { key, name } = validate(putObjectFacts, factsOf(request), 'body');
    const leave = await this.#objects.enter(0, deadlineOf(request) / 2);
    try {
      const { stallMs, uploadMs } = this.#limits;
      const bytes = mostObjectBytes + sumBytes;
      await putObject(
        stores.snapshots,
        key,
        name,
        octetsOf(request, reply, clock, { bytes, stallMs, totalMs: uploadMs }),
      );
    } finally {
      leave();
    }
    return reply.type('application/json').send(Buffer.from('{}'));
  }

  async #read(state: Call, request: Request, reply: Reply): Promise<Reply> {
    const { clock, logger, stores } = this.#options;
    const { stallMs } = this.#limits;
    const endMs = state.fromMs + deadlineOf(request);
    const leave = await this.#objects.enter(readStepBytes, (endMs - state.fromMs) / 2);
    try {
      const asked = await this.#question(request, reply, smallQuestionBytes, endMs);
      const { key, name, range } = validate(readObjectAsked, asked, 'body');
      const content = await readObject(stores.snapshots, key, name, range);
      if (content === null) return await reply.code(204).send();
      const headers = { 'content-type': 'application/octet-stream' };
      const onStall = (): void => {
        logger.debug({ event: 'read_stalled', request_id: request.id }, 'a reader took nothing for too long');
      };
      return await sendOctets({ clock, logger, stallMs, onStall }, request, reply, 200, headers, content);
    } finally {
      leave();
    }
  }

  async #question(request: Request, reply: Reply, bytes: number, endMs: number): Promise<unknown> {
    const { clock } = this.#options;
    const totalMs = Math.max(1, endMs - clock.monotonicMs());
    const pieces: Uint8Array[] = [];
    for await (const piece of octetsOf(request, reply, clock, { bytes, stallMs: totalMs, totalMs })) pieces.push(piece);
    return parseJsonObject(decodeUtf8(Buffer.concat(pieces)), 'body', recordBounds);
  }

  /** Who asked has given up by then; what the store still does is not known. */
  async #inTime<T>(work: Promise<T>, endMs: number): Promise<T> {
    const { clock } = this.#options;
    const late = new ServiceError('store_unavailable', { store: 'door', reason: 'timeout' });
    const answered = await within(clock, Math.max(0, endMs - clock.monotonicMs()), work, late);
    if (answered === late) throw late;
    return answered as T;
  }

  async #counted(operation: DoorOperation, reply: Reply, run: (state: Call) => Promise<Reply>): Promise<Reply> {
    const { clock, metrics } = this.#options;
    const state: Call = { operation, fromMs: clock.monotonicMs(), outcome: 'done' };
    try {
      return await run(state);
    } catch (error) {
      const known = typed(error);
      state.outcome = reply.raw.destroyed ? 'cut' : outcomeOf(known);
      throw known;
    } finally {
      metrics.storeDoorCalls.inc({ operation, outcome: state.outcome });
      metrics.storeDoorSeconds.observe({ operation }, (clock.monotonicMs() - state.fromMs) / 1000);
    }
  }
}

/** Before the body is read. */
function guard(app: App, credential: string): void {
  const expected = hashOf(credential);
  app.addHook('onRequest', async ({ headers }) => {
    const shown = bearerTokenOf(headers.authorization);
    if (shown === null || !timingSafeEqual(hashOf(shown), expected)) throw new ServiceError('unauthenticated');
  });
}

/** What nobody foresaw is the store's failure to whoever asked: it may have been done, and may be asked again. */
function typed(error: unknown): ServiceError {
  if (isServiceError(error)) return error;
  return new ServiceError('store_unavailable', { store: 'door', reason: 'failing' }, { cause: error });
}

function outcomeOf({ code, details }: ServiceError): DoorOutcome {
  switch (code) {
    case 'store_conflict':
      return 'conflict';
    case 'invalid_request':
    case 'invalid_json':
    case 'payload_too_large':
    case 'cursor_invalid':
    case 'forbidden':
    case 'request_timeout':
      return 'refused';
    default:
      return details['reason'] === 'overloaded' ? 'overloaded' : 'failed';
  }
}

/** One that does not say how much it is takes the room of the largest. */
function announcedBytes({ headers }: Request): number {
  const bytes = Number(headers['content-length'] ?? mostQuestionBytes);
  if (bytes > mostQuestionBytes) throw new ServiceError('payload_too_large', { limit_bytes: mostQuestionBytes });
  return bytes;
}

function deadlineOf({ headers }: Request): number {
  const given = Number(headers[deadlineHeader] ?? usualDeadlineMs);
  return Number.isFinite(given) ? Math.min(longestDeadlineMs, Math.max(1, given)) : usualDeadlineMs;
}

function factsOf({ headers }: Request): unknown {
  const given = String(headers[storeFactsHeader] ?? '');
  return parseJsonObject(decodeUtf8(Buffer.from(given, 'base64url')), 'body');
}

function hashOf(credential: string): Buffer {
  return createHash('sha256').update(credential).digest();
}
