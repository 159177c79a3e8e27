// HTTP with one run of one worker: what was asked was answered, or was never sent, or is unclear; one of
// these in time. Nothing is ever sent twice. Does not know what the calls mean.

import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import { bootHeader, factsHeader } from '../../api/worker-wire.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';
import { OctetContent } from './octet-content.ts';
import { readJson, refusalOf } from './worker-reply.ts';

export type WorkerConnectionParts = {
  readonly worker: WorkerId;
  readonly url: string;
  /** The run that is meant. */
  readonly boot: string;
  readonly credential: string;
  readonly clock: Clock;
};

export type OctetAnswer = { readonly facts: unknown; readonly content: AsyncIterable<Uint8Array> };

const connectTimeoutMs = 1000;
const maxCommandsAtOnce = 256;
/** Shorter than a worker keeps an idle connection: a call that meets its end is one whose fate is unclear. */
const keepAliveMs = 20_000;
/** For the head of an answer: a path of the longest kind fits. */
const maxHeaderBytes = 32 * 1024;

const poolSettings = {
  allowH2: false,
  pipelining: 1,
  connectTimeout: connectTimeoutMs,
  keepAliveTimeout: keepAliveMs,
  keepAliveMaxTimeout: keepAliveMs,
  maxHeaderSize: maxHeaderBytes,
  // Deadlines are kept here, on our clock.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const;

type Outgoing = {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Readable;
  readonly abort: AbortController;
  readonly pool: Dispatcher;
};
type Marked = Dispatcher.RequestOptions & { readonly onSending: () => void };

export class WorkerConnection {
  readonly #parts: WorkerConnectionParts;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #pools: readonly Pool[];
  readonly #commands: Dispatcher;
  /** Apart: a slow reader of a file must not keep a cancel waiting. */
  readonly #streams: Dispatcher;

  constructor(parts: WorkerConnectionParts) {
    this.#parts = parts;
    this.#headers = { authorization: `Bearer ${parts.credential}`, [bootHeader]: parts.boot };
    const commands = new Pool(parts.url, { ...poolSettings, connections: maxCommandsAtOnce });
    const streams = new Pool(parts.url, { ...poolSettings, connections: null });
    this.#pools = [commands, streams];
    this.#commands = commands.compose(markSending);
    this.#streams = streams.compose(markSending);
  }

  /** The answer's JSON. */
  async call(path: string, asked: object, deadlineMs: number): Promise<unknown> {
    const abort = new AbortController();
    const cancelDeadline = this.#parts.clock.after(deadlineMs, () => abort.abort());
    try {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify(asked);
      return await this.#whole({ path, headers, body, abort, pool: this.#commands });
    } finally {
      cancelDeadline();
    }
  }

  /** Octets to read; the deadline is for their beginning. */
  async read(path: string, asked: object, deadlineMs: number, stallMs: number): Promise<OctetAnswer> {
    const { clock } = this.#parts;
    const abort = new AbortController();
    const cancelDeadline = clock.after(deadlineMs, () => abort.abort());
    try {
      const headers = { 'content-type': 'application/json' };
      const outgoing = { path, headers, body: JSON.stringify(asked), abort, pool: this.#streams };
      const { body, headers: told } = await this.#answered(outgoing);
      const toError = (cause: unknown): ServiceError => this.#lost('cut', cause);
      return { facts: this.#factsOf(told[factsHeader]), content: new OctetContent({ body, clock, stallMs, toError }) };
    } finally {
      cancelDeadline();
    }
  }

  /**
   * Octets to write. Fails with the error of `content` when that broke off: the worker then gets no end of
   * it, and takes no part for the whole. `content` is not touched before there is a connection.
   */
  async write(
    path: string,
    facts: object,
    content: AsyncIterable<Uint8Array>,
    { stallMs, deadlineMs }: { readonly stallMs: number; readonly deadlineMs: number },
  ): Promise<unknown> {
    const abort = new AbortController();
    const watch = new Watch(this.#parts.clock, () => abort.abort());
    const upload = new Upload(content, watch, stallMs, deadlineMs);
    const body = Readable.from(upload.pieces(), { objectMode: false });
    body.on('error', () => undefined);
    try {
      const headers = { 'content-type': 'application/octet-stream', [factsHeader]: encodeFacts(facts) };
      return await this.#whole({ path, headers, body, abort, pool: this.#streams });
    } catch (error) {
      throw upload.failure === null ? error : upload.failure.error;
    } finally {
      watch.stop();
      body.destroy();
    }
  }

  /** Lets calls under way end by themselves. */
  async retire(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }

  /** Ends calls under way. */
  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }

  async #whole(outgoing: Outgoing): Promise<unknown> {
    const { body } = await this.#answered(outgoing);
    try {
      return await readJson(body);
    } catch (error) {
      throw this.#lost(outgoing.abort.signal.aborted ? 'timed_out' : 'cut', error);
    }
  }

  /** An answer that is no refusal, by the run that is meant; its body is not read yet. */
  async #answered({ path, headers, body, abort, pool }: Outgoing): Promise<Dispatcher.ResponseData> {
    let isSending = false;
    let response: Dispatcher.ResponseData;
    const options: Marked = {
      method: 'POST',
      path,
      headers: { ...this.#headers, ...headers },
      body,
      signal: abort.signal,
      onSending: () => {
        isSending = true;
      },
    };
    try {
      response = await pool.request(options);
    } catch (error) {
      if (isSending) throw this.#lost(abort.signal.aborted ? 'timed_out' : 'cut', error);
      throw this.#unreachable(abort.signal.aborted ? 'no_connection_in_time' : reasonOf(error), error);
    }
    if (response.statusCode >= 300) {
      const problem = await readJson(response.body).catch(() => null);
      throw refusalOf(this.#parts.worker, problem, response.statusCode);
    }
    if (response.headers[bootHeader] !== this.#parts.boot) {
      response.body.on('error', () => undefined).destroy();
      throw this.#lost('answered_badly');
    }
    return response;
  }

  #factsOf(header: string | string[] | undefined): unknown {
    try {
      return JSON.parse(Buffer.from(String(header), 'base64url').toString('utf8'));
    } catch (error) {
      throw this.#lost('answered_badly', error);
    }
  }

  /** Nothing was taken. */
  #unreachable(reason: string, cause: unknown): ServiceError {
    return new ServiceError('worker_unreachable', { worker: this.#parts.worker, reason }, { cause });
  }

  /** It may have been taken. */
  #lost(reason: 'timed_out' | 'cut' | 'answered_badly', cause?: unknown): ServiceError {
    return new ServiceError('worker_lost', { worker: this.#parts.worker, reason }, { cause });
  }
}

/** Calls back when nothing has been heard for as long as was last asked for. */
class Watch {
  readonly #clock: Clock;
  readonly #onLate: () => void;
  #cancel: () => void = () => undefined;

  constructor(clock: Clock, onLate: () => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  restart(ms: number): void {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, this.#onLate);
  }

  stop(): void {
    this.#cancel();
  }
}

class Upload {
  readonly #content: AsyncIterable<Uint8Array>;
  readonly #watch: Watch;
  readonly #stallMs: number;
  readonly #answerMs: number;
  /** What the content itself broke off with. */
  failure: { readonly error: unknown } | null = null;

  constructor(content: AsyncIterable<Uint8Array>, watch: Watch, stallMs: number, answerMs: number) {
    this.#content = content;
    this.#watch = watch;
    this.#stallMs = stallMs;
    this.#answerMs = answerMs;
    watch.restart(stallMs);
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    const reader = this.#content[Symbol.asyncIterator]();
    try {
      for (let next = await this.#next(reader); next.done !== true; next = await this.#next(reader)) yield next.value;
      this.#watch.restart(this.#answerMs);
    } finally {
      await reader.return?.();
    }
  }

  async #next(reader: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array, unknown>> {
    this.#watch.restart(this.#stallMs);
    try {
      return await reader.next();
    } catch (error) {
      this.failure = { error };
      throw error;
    }
  }
}

/** undici tells a handler right before the first byte of its request goes out: until then nothing was sent. */
function markSending(dispatch: Dispatcher.Dispatch): Dispatcher.Dispatch {
  return (options, handler) => {
    const { onSending } = options as Partial<Marked>;
    const begin = handler.onRequestStart?.bind(handler);
    handler.onRequestStart = (controller, context) => {
      onSending?.();
      begin?.(controller, context);
    };
    return dispatch(options, handler);
  };
}

function reasonOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code;
  if (code === 'ECONNREFUSED') return 'refused';
  return code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT' ? 'connect_timed_out' : 'not_connected';
}

function encodeFacts(facts: object): string {
  return Buffer.from(JSON.stringify(facts)).toString('base64url');
}
