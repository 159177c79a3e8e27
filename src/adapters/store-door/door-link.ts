// HTTP to the store doors of a fleet: single attempts, each with a limit of time, at the door that answered last. What
// is asked and what an answer means is not known here.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import { SumMismatch, sumBytes, withoutSum, withSum } from '../../api/octet-sum.ts';
import { deadlineHeader, mostAnswerBytes, storeFactsHeader } from '../../api/store-wire.ts';
import type { Clock } from '../../core/clock.ts';
import { isServiceError } from '../../core/errors.ts';
import { refusalOf, Unanswered } from './door-errors.ts';

export type DoorLinkParts = {
  /** One name with many replicas behind it, or each of them. */
  readonly urls: readonly string[];
  readonly credential: string;
  readonly clock: Clock;
};

const connectTimeoutMs = 1_000;
const maxCallsAtOnce = 128;
const maxObjectsAtOnce = 16;
/** Shorter than a door keeps an idle connection. */
const keepAliveMs = 20_000;

const poolSettings = {
  allowH2: false,
  pipelining: 1,
  connectTimeout: connectTimeoutMs,
  keepAliveTimeout: keepAliveMs,
  keepAliveMaxTimeout: keepAliveMs,
  // Limits of time are kept here, on our clock.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const;

type Door = { readonly calls: Pool; readonly objects: Pool };
type Outgoing = {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Readable;
  readonly abort: AbortController;
  readonly isObject: boolean;
};

export class DoorLink {
  readonly #parts: DoorLinkParts;
  readonly #doors: readonly Door[];
  #at = 0;

  constructor(parts: DoorLinkParts) {
    this.#parts = parts;
    this.#doors = parts.urls.map((url) => ({
      calls: new Pool(new URL(url).origin, { ...poolSettings, connections: maxCallsAtOnce }),
      objects: new Pool(new URL(url).origin, { ...poolSettings, connections: maxObjectsAtOnce }),
    }));
  }

  /** The answer's JSON. */
  async call(path: string, body: string, limitMs: number): Promise<unknown> {
    const abort = new AbortController();
    const cancel = this.#parts.clock.after(limitMs, () => abort.abort());
    try {
      const headers = { 'content-type': 'application/json', [deadlineHeader]: String(Math.ceil(limitMs)) };
      const response = await this.#answered({ path, headers, body, abort, isObject: false });
      return await this.#json(response, abort);
    } finally {
      cancel();
    }
  }

  /** Octets whose sum was found right, up to that many; null for none. `silentMs`: from one piece to the next. */
  async read(
    path: string,
    body: string,
    silentMs: number,
    mostBytes: number,
    onMoved: () => void,
  ): Promise<Uint8Array | null> {
    const abort = new AbortController();
    const watch = new Watch(this.#parts.clock, silentMs, onMoved, () => abort.abort());
    try {
      const headers = { 'content-type': 'application/json', [deadlineHeader]: String(Math.ceil(silentMs)) };
      const response = await this.#answered({ path, headers, body, abort, isObject: true });
      if (response.statusCode === 204) {
        await response.body.dump();
        return null;
      }
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      for await (const piece of withoutSum(response.body as AsyncIterable<Uint8Array>, createHash('sha256'))) {
        watch.heard();
        bytes += piece.length;
        if (bytes > mostBytes) throw new Unanswered('answered_badly', true);
        pieces.push(piece);
      }
      return pieces.length === 1 ? (pieces[0] ?? null) : Buffer.concat(pieces, bytes);
    } catch (error) {
      if (error instanceof Unanswered || isServiceError(error)) throw error;
      if (error instanceof SumMismatch) throw new Unanswered('answered_badly', true, error);
      throw this.#cut(abort, error);
    } finally {
      watch.stop();
    }
  }

  /** `bytes`: of all of it, where that is known. Rejects with the error of the pieces where those broke off. */
  async put(
    path: string,
    facts: object,
    { bytes, pieces }: { readonly pieces: AsyncIterable<Uint8Array>; readonly bytes: number | null },
    silentMs: number,
    onMoved: () => void,
  ): Promise<void> {
    const abort = new AbortController();
    const watch = new Watch(this.#parts.clock, silentMs, onMoved, () => abort.abort());
    const source = new Source(pieces, watch);
    const body = Readable.from(withSum(source, createHash('sha256')), { objectMode: false });
    body.on('error', () => undefined);
    try {
      const headers = {
        'content-type': 'application/octet-stream',
        [storeFactsHeader]: Buffer.from(JSON.stringify(facts)).toString('base64url'),
        [deadlineHeader]: String(Math.ceil(silentMs)),
        ...(bytes === null ? {} : { 'content-length': String(bytes + sumBytes) }),
      };
      const response = await this.#answered({ path, headers, body, abort, isObject: true });
      await this.#json(response, abort);
    } catch (error) {
      throw source.failure === null ? error : source.failure.error;
    } finally {
      watch.stop();
      body.destroy();
    }
  }

  /** Calls under way end. */
  async close(): Promise<void> {
    await Promise.all(this.#doors.flatMap(({ calls, objects }) => [calls.destroy(), objects.destroy()]));
  }

  async #answered({ abort, body, headers, isObject, path }: Outgoing): Promise<Dispatcher.ResponseData> {
    const at = this.#at;
    const door = this.#doors[at % this.#doors.length];
    if (door === undefined) throw new Unanswered('unreachable', false);
    let response: Dispatcher.ResponseData;
    try {
      response = await (isObject ? door.objects : door.calls).request({
        method: 'POST',
        path,
        headers: { authorization: `Bearer ${this.#parts.credential}`, ...headers },
        body,
        signal: abort.signal,
      });
    } catch (error) {
      this.#turnFrom(at);
      throw isUnsent(error) ? new Unanswered('unreachable', false, error) : this.#cut(abort, error);
    }
    if (response.statusCode < 300) return response;
    const problem = await this.#json(response, abort).catch(() => null);
    // It stops, or has more to do than another may have.
    if (response.statusCode >= 500) this.#turnFrom(at);
    throw refusalOf(problem, response.statusCode);
  }

  async #json({ body }: Dispatcher.ResponseData, abort: AbortController): Promise<unknown> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const piece of body as AsyncIterable<Uint8Array>) {
        bytes += piece.length;
        if (bytes > mostAnswerBytes) throw new Unanswered('answered_badly', true);
        pieces.push(piece);
      }
    } catch (error) {
      throw error instanceof Unanswered ? error : this.#cut(abort, error);
    }
    try {
      return JSON.parse(Buffer.concat(pieces, bytes).toString('utf8'));
    } catch (error) {
      throw new Unanswered('answered_badly', true, error);
    }
  }

  #cut(abort: AbortController, cause: unknown): Unanswered {
    return new Unanswered(abort.signal.aborted ? 'timeout' : 'cut', true, cause);
  }

  /** Of several doors the next; many calls that fail at one of them move on together. */
  #turnFrom(at: number): void {
    if (this.#at === at) this.#at += 1;
  }
}

/** Calls back when nothing has been heard for too long. */
class Watch {
  readonly #clock: Clock;
  readonly #silentMs: number;
  readonly #onMoved: () => void;
  readonly #onSilent: () => void;
  #cancel: () => void;

  constructor(clock: Clock, silentMs: number, onMoved: () => void, onSilent: () => void) {
    this.#clock = clock;
    this.#silentMs = silentMs;
    this.#onMoved = onMoved;
    this.#onSilent = onSilent;
    this.#cancel = clock.after(silentMs, onSilent);
  }

  heard(): void {
    this.#onMoved();
    this.#cancel();
    this.#cancel = this.#clock.after(this.#silentMs, this.#onSilent);
  }

  stop(): void {
    this.#cancel();
  }
}

/** Content as it is asked for, which is how one knows that the door takes it; and what it broke off with. */
class Source implements AsyncIterable<Uint8Array> {
  readonly #content: AsyncIterable<Uint8Array>;
  readonly #watch: Watch;
  failure: { readonly error: unknown } | null = null;

  constructor(content: AsyncIterable<Uint8Array>, watch: Watch) {
    this.#content = content;
    this.#watch = watch;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of this.#content) {
        this.#watch.heard();
        yield piece;
      }
    } catch (error) {
      this.failure = { error };
      throw error;
    }
    this.#watch.heard();
  }
}

/** There was no connection: nothing of it can have arrived. */
function isUnsent(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return (
    code === 'ECONNREFUSED' ||
    code === 'UND_ERR_CONNECT_TIMEOUT' ||
    code === 'ENOTFOUND' ||
    code === 'EAI_AGAIN' ||
    code === 'EHOSTUNREACH' ||
    code === 'ENETUNREACH'
  );
}
