// The octets of snapshots through the store door. What a put brings is sent again while it can be had again: all of
// a list of pieces, and of a stream as much as is held of it. Names are checked here and again at the door.

import { createHash } from 'node:crypto';
import { answers, objectNamePattern, type StoreCall, storePath } from '../../api/store-wire.ts';
import type { ByteRange, SessionObjects, StoredObject } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import type { DoorCall } from './door-call.ts';
import type { DoorLink } from './door-link.ts';
import { type AskDoor, understood } from './store-door-records.ts';

export type StoreDoorSnapshotsParts = {
  readonly link: DoorLink;
  /** `bytes`: that are moved by it, for which it has more time. */
  readonly newCall: (operation: string, bytes?: number) => DoorCall;
  readonly ask: AskDoor;
};

type Content = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** Of a stream, so that a short one can be sent again. */
const mostHeldBytes = 8 * 1024 * 1024;
const comparedAtOnceBytes = 4 * 1024 * 1024;
const removedAtOnce = 1_000;
/** More than any object of a snapshot. */
const mostReadBytes = 1024 * 1024 * 1024;

export class StoreDoorSnapshots implements SessionObjects {
  readonly #parts: StoreDoorSnapshotsParts;

  constructor(parts: StoreDoorSnapshotsParts) {
    this.#parts = parts;
  }

  async put(key: SessionKey, name: string, content: Content): Promise<void> {
    const facts = factsOf(key, name);
    const held = Array.isArray(content) ? new Held(content as readonly Uint8Array[], null) : await hold(content);
    // Of a stream nobody knows how long it is.
    const call = this.#parts.newCall('objects.put', held.isWhole ? held.bytes : Number.POSITIVE_INFINITY);
    const { link } = this.#parts;
    const attempt = (silentMs: number): Promise<void> => {
      const bytes = held.isWhole ? held.bytes : null;
      return link.put(storePath('objects.put'), facts, { pieces: held.pieces(), bytes }, silentMs, call.moved);
    };
    try {
      await call.repeat(attempt, () => held.isWhole || !held.isBegun);
    } catch (error) {
      if (held.failure !== null) throw held.failure.error;
      // Either of these may be the answer to a first try that had arrived.
      const isTaken = isServiceError(error, 'store_conflict') && call.isUnclear;
      const isLost = !held.isWhole && held.isEnded && call.isUnclear;
      if ((isTaken || isLost) && (await this.#isOurs(key, name, held))) return;
      throw error;
    } finally {
      await held.close();
    }
  }

  async read(key: SessionKey, name: string, range?: ByteRange): Promise<Uint8Array | null> {
    return await this.#read(
      this.#parts.newCall('objects.read', range?.length ?? mostReadBytes),
      key,
      name,
      range ?? null,
    );
  }

  async list(key: SessionKey): Promise<readonly StoredObject[]> {
    const call = this.#parts.newCall('objects.list');
    return understood(answers.objects, await this.#ask(call, 'objects.list', keyOf(key)), call).objects;
  }

  async remove(key: SessionKey, names: readonly string[]): Promise<void> {
    for (const name of names) factsOf(key, name);
    for (let at = 0; at < names.length; at += removedAtOnce) {
      const part = names.slice(at, at + removedAtOnce);
      await this.#ask(this.#parts.newCall('objects.remove'), 'objects.remove', { key: keyOf(key), names: part });
    }
  }

  async erase(key: SessionKey): Promise<void> {
    await this.#ask(this.#parts.newCall('objects.erase'), 'objects.erase', keyOf(key));
  }

  #ask(call: DoorCall, name: StoreCall, asked: object): Promise<unknown> {
    return this.#parts.ask(call, name, asked);
  }

  async #read(call: DoorCall, key: SessionKey, name: string, range: ByteRange | null): Promise<Uint8Array | null> {
    const body = JSON.stringify({ ...factsOf(key, name), range });
    const { link } = this.#parts;
    const mostBytes = range?.length ?? mostReadBytes;
    return await call.repeat((silentMs) => link.read(storePath('objects.read'), body, silentMs, mostBytes, call.moved));
  }

  /** Whether what stands under that name is what was to be put there. */
  async #isOurs(key: SessionKey, name: string, held: Held): Promise<boolean> {
    const call = this.#parts.newCall('objects.put', held.bytes);
    const sum = createHash('sha256');
    let bytes = 0;
    for (;;) {
      const part = await this.#read(call, key, name, { offset: bytes, length: comparedAtOnceBytes });
      if (part === null) return false;
      sum.update(part);
      bytes += part.length;
      if (part.length < comparedAtOnceBytes || bytes > held.bytes) break;
    }
    return bytes === held.bytes && sum.digest('hex') === held.sum();
  }
}

/** Pieces that are held, and what comes behind them where that was too much to hold. */
class Held {
  readonly #held: readonly Uint8Array[];
  readonly #rest: AsyncIterator<Uint8Array> | Iterator<Uint8Array> | null;
  readonly #sum = createHash('sha256');
  /** So far. */
  bytes: number;
  /** What is not held was asked for: it cannot be had again. */
  isBegun = false;
  isEnded = false;
  #isClosed = false;
  failure: { readonly error: unknown } | null = null;

  constructor(held: readonly Uint8Array[], rest: AsyncIterator<Uint8Array> | Iterator<Uint8Array> | null) {
    this.#held = held;
    this.#rest = rest;
    this.bytes = held.reduce((sum, piece) => sum + piece.length, 0);
  }

  get isWhole(): boolean {
    return this.#rest === null;
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    yield* this.#held;
    if (this.#rest === null) return;
    this.isBegun = true;
    for (const piece of this.#held) this.#sum.update(piece);
    try {
      for (let next = await this.#rest.next(); next.done !== true; next = await this.#rest.next()) {
        // It is on its way for a while, and whoever gave it may use its buffer for the next.
        const piece = Uint8Array.from(next.value);
        this.#sum.update(piece);
        this.bytes += piece.length;
        yield piece;
      }
      this.isEnded = true;
    } catch (error) {
      this.failure = { error };
      throw error;
    } finally {
      await this.close();
    }
  }

  /** What was not read to its end may hold files open. */
  async close(): Promise<void> {
    if (this.#rest === null || this.isEnded || this.failure !== null || this.#isClosed) return;
    this.#isClosed = true;
    await this.#rest.return?.();
  }

  sum(): string {
    if (this.#rest !== null) return this.#sum.digest('hex');
    const sum = createHash('sha256');
    for (const piece of this.#held) sum.update(piece);
    return sum.digest('hex');
  }
}

async function hold(content: Content): Promise<Held> {
  const reader = Symbol.asyncIterator in content ? content[Symbol.asyncIterator]() : content[Symbol.iterator]();
  const held: Uint8Array[] = [];
  for (let bytes = 0; bytes <= mostHeldBytes; ) {
    const next = await reader.next();
    if (next.done === true) return new Held(held, null);
    // One buffer may serve for all pieces.
    const piece = Uint8Array.from(next.value);
    held.push(piece);
    bytes += piece.length;
  }
  return new Held(held, reader);
}

function keyOf({ sessionId, tenant }: SessionKey): SessionKey {
  if (tenant === '' || sessionId === '') throw noSuchName('a key has no empty part');
  return { tenant, sessionId };
}

function factsOf(key: SessionKey, name: string): { readonly key: SessionKey; readonly name: string } {
  if (!objectNamePattern.test(name)) throw noSuchName('no object may have that name');
  return { key: keyOf(key), name };
}

function noSuchName(message: string): ServiceError {
  return new ServiceError('internal', {}, { message });
}
