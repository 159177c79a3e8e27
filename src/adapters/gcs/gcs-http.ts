// Calls of Cloud Storage's JSON API: each within its deadline, repeated where that may help, given up at once
// when the store closes. The client library finds the endpoint and the credentials; the calls are made here,
// because it can neither cancel one that hangs (teeny-request has no abort) nor let one owner keep the time.

import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Storage } from '@google-cloud/storage';
import { Pool } from 'undici';
import type { Clock } from '../../core/clock.ts';
import type { ServiceError } from '../../core/errors.ts';
import type { Logger } from '../../observability/logger.ts';
import { CallDeadline } from './call-deadline.ts';
import {
  type GcsReply,
  type Problem,
  problemOfReply,
  problemOfWay,
  tooSlow,
  unavailable,
  type Asked,
} from './gcs-problem.ts';

export type OperationKind = 'class_a' | 'class_b' | 'free';

export type GcsHttpOptions = {
  readonly project: string | null;
  readonly bucket: string;
  /** Instead of Google's own; null: Google's, or what STORAGE_EMULATOR_HOST tells the client library. */
  readonly apiEndpoint: string | null;
  /** How long a call may take with all its repeats; one with a body: without moving a byte. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of what is answered, as it is billed. */
  readonly onOperations: (kind: OperationKind, count: number) => void;
};

export type GcsCall = {
  /** For logs. */
  readonly operation: string;
  readonly kind: OperationKind;
  readonly permission: Asked['permission'];
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Of the endpoint, or, of an upload, absolute. */
  readonly url: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
  /** Statuses beside 2xx that the caller understands. */
  readonly accept?: readonly number[];
  /** What is wrong with an answer of 2xx, so that it is asked for again. */
  readonly doubt?: (reply: GcsReply) => ServiceError | null;
  /** Once, without repeats. */
  readonly isOnce?: boolean;
  /** One that several calls share; otherwise it has the usual time. */
  readonly deadline?: CallDeadline;
};

const maxConnections = 128;
const firstBackoffMs = 100;
const maxBackoffMs = 3_000;
const sentAtOnceBytes = 128 * 1024;
/** Of an answer that gives no length. */
const firstRoomBytes = 64 * 1024;

export class GcsHttp {
  readonly #options: GcsHttpOptions;
  readonly #storage: Storage;
  readonly #pool: Pool;
  readonly #origin: string;
  readonly #isAuthorized: boolean;
  readonly #closing = new AbortController();

  constructor(options: GcsHttpOptions) {
    this.#options = options;
    this.#storage = new Storage({
      ...(options.project === null ? {} : { projectId: options.project }),
      ...(options.apiEndpoint === null ? {} : { apiEndpoint: options.apiEndpoint }),
    });
    // The variable may hold the path of the API too: the library wants it there.
    const endpoint = new URL(this.#storage.apiEndpoint);
    this.#origin = endpoint.origin;
    // An endpoint of Google's (of a region, or private) knows us; others must not see a credential.
    this.#isAuthorized = !this.#storage.customEndpoint || isGoogle(endpoint);
    this.#pool = new Pool(this.#origin, {
      connections: maxConnections,
      pipelining: 1,
      allowH2: false,
      // Deadlines are kept here, on our clock.
      connectTimeout: 0,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 20_000,
      keepAliveMaxTimeout: 60_000,
    });
  }

  /** Rejects with `store_unavailable` alone. */
  async call(call: GcsCall): Promise<GcsReply> {
    const { logger } = this.#options;
    const deadline = call.deadline ?? this.newDeadline(1, bytesOf(call.body));
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#attempt(call, deadline);
      if ('reply' in outcome) return outcome.reply;
      const { error, mayPass } = outcome.problem;
      if (!mayPass || call.isOnce === true) throw error;
      const { reason, status } = error.details;
      logger.debug(
        { event: 'cloud_storage_repeat', operation: call.operation, attempt, reason, status },
        'asking Cloud Storage again',
      );
      if (!(await this.backOff(attempt, deadline))) throw error;
    }
  }

  newDeadline(timePart: number, bytes: number): CallDeadline {
    return new CallDeadline(this.#options.clock, this.#options.timeoutMs * timePart, bytes);
  }

  /** Waits before another attempt; false when there is no time for one. */
  async backOff(attempt: number, deadline: CallDeadline): Promise<boolean> {
    const backoffMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
    if (deadline.remainingMs <= backoffMs) return false;
    await this.#pause(backoffMs);
    return true;
  }

  /** Calls that run are rejected with `store_unavailable`. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#pool.destroy();
  }

  async #attempt(call: GcsCall, deadline: CallDeadline): Promise<{ reply: GcsReply } | { problem: Problem }> {
    const { bucket, clock, onOperations } = this.#options;
    if (this.#closing.signal.aborted) return { problem: { mayPass: false, error: closed() } };
    const abort = new AbortController();
    deadline.startAttempt();
    let cancelTimer = (): void => undefined;
    const watch = (): void => {
      const patienceMs = deadline.patienceMs;
      if (patienceMs <= 0) abort.abort(tooSlow());
      else cancelTimer = clock.after(patienceMs, watch);
    };
    watch();
    const signal = AbortSignal.any([abort.signal, this.#closing.signal]);
    try {
      const reply = await this.#exchange(call, deadline, signal);
      const isFine = reply.status >= 200 && reply.status < 300;
      if (reply.status < 400) onOperations(call.kind, 1);
      if (!isFine && call.accept?.includes(reply.status) !== true) {
        return { problem: problemOfReply(reply, { bucket, permission: call.permission }) };
      }
      const doubt = isFine ? (call.doubt?.(reply) ?? null) : null;
      return doubt === null ? { reply } : { problem: { mayPass: true, error: doubt } };
    } catch (error) {
      if (this.#closing.signal.aborted) return { problem: { mayPass: false, error: closed() } };
      if (abort.signal.aborted) return { problem: { mayPass: true, error: tooSlow(error) } };
      return { problem: problemOfWay(error) };
    } finally {
      cancelTimer();
    }
  }

  async #exchange(call: GcsCall, deadline: CallDeadline, signal: AbortSignal): Promise<GcsReply> {
    const url = new URL(call.url, this.#origin);
    // The address of an upload is the server's word; it must not lead anywhere else.
    if (url.origin !== this.#origin) {
      const text = 'Cloud Storage names another host for an upload';
      throw unavailable('unexpected_answer', text, {});
    }
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    const sentBytes = bytesOf(call.body);
    const response = await this.#pool.request({
      method: call.method,
      path: url.pathname + url.search,
      headers: {
        ...(this.#isAuthorized ? await abortable(this.#credential(url), signal) : {}),
        'user-agent': 'codex-fleet',
        ...(call.method === 'GET' || call.method === 'DELETE' ? {} : { 'content-length': String(sentBytes) }),
        ...call.headers,
      },
      body:
        call.body === undefined || sentBytes === 0
          ? null
          : Readable.from(
              inSlices(call.body, (sent) => deadline.moved(sent)),
              { objectMode: false },
            ),
      signal,
    });
    const { statusCode: status, headers } = response;
    const length = Number(headers['content-length'] ?? Number.NaN);
    if (Number.isFinite(length)) deadline.expect(sentBytes + length);
    let room = Buffer.allocUnsafeSlow(Number.isFinite(length) ? length : firstRoomBytes);
    let used = 0;
    for await (const piece of response.body as AsyncIterable<Uint8Array>) {
      if (used + piece.length > room.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(room.length * 2, used + piece.length));
        room.copy(larger, 0, 0, used);
        room = larger;
      }
      room.set(piece, used);
      used += piece.length;
      deadline.moved(sentBytes + used);
    }
    return { status, headers, body: room.subarray(0, used) };
  }

  async #credential(url: URL): Promise<Record<string, string>> {
    return Object.fromEntries(await this.#storage.authClient.getRequestHeaders(url));
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#closing;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const cancel = this.#options.clock.after(ms, end);
      signal.addEventListener('abort', end);
    });
  }
}

function bytesOf(body: GcsCall['body']): number {
  return body?.reduce((sum, piece) => sum + piece.length, 0) ?? 0;
}

/** With a breath between them: other clients of this loop wait no longer than for one slice. */
async function* inSlices(pieces: readonly Uint8Array[], onSent: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for (const piece of pieces) {
    for (let offset = 0; offset < piece.length; offset += sentAtOnceBytes) {
      const slice = piece.subarray(offset, offset + sentAtOnceBytes);
      yield slice;
      sent += slice.length;
      onSent(sent);
      await setImmediate();
    }
  }
}

async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function isGoogle({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' && hostname.endsWith('.googleapis.com');
}

function closed(): ServiceError {
  return unavailable('closed', 'the store is closed', {});
}
