// The octets of snapshots through the store door: in as the store takes them, out as the worker takes them, a few
// megabytes at a time, and in both directions with the sum of all of them behind.

import { createHash } from 'node:crypto';
import { SumMismatch, withoutSum, withSum } from '../../api/octet-sum.ts';
import type { ByteRange, SnapshotStore } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';

/** Of one object: more than any that a snapshot consists of. */
export const mostObjectBytes = 1024 * 1024 * 1024;
/** What is asked of the store at a time, and held of one read. */
export const readStepBytes = 4 * 1024 * 1024;
const writeStepBytes = 1024 * 1024;

/** A body that breaks off, or has another sum, ends in an error within the store's put: it leaves nothing then. */
export async function putObject(
  snapshots: SnapshotStore,
  key: SessionKey,
  name: string,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  await snapshots.put(key, name, checked(body));
}

/** null when there is no such object: the first octets are read to know. */
export async function readObject(
  snapshots: SnapshotStore,
  key: SessionKey,
  name: string,
  range: ByteRange | null,
): Promise<AsyncIterable<Uint8Array> | null> {
  const offset = range?.offset ?? 0;
  const length = range?.length ?? Number.POSITIVE_INFINITY;
  const first = await snapshots.read(key, name, { offset, length: Math.min(length, readStepBytes) });
  if (first === null) return null;
  return withSum(steps(snapshots, key, name, { offset, length }, first), createHash('sha256'));
}

async function* steps(
  snapshots: SnapshotStore,
  key: SessionKey,
  name: string,
  { offset, length }: ByteRange,
  first: Uint8Array,
): AsyncGenerator<Uint8Array> {
  let read = first.length;
  yield first;
  for (let last = first; last.length === readStepBytes && read < length; read += last.length) {
    const part = { offset: offset + read, length: Math.min(length - read, readStepBytes) };
    const next = await snapshots.read(key, name, part);
    // Cleared away meanwhile: half of it must not pass for the whole.
    if (next === null) throw new ServiceError('store_unavailable', { store: 'door', reason: 'object_gone' });
    yield next;
    last = next;
  }
}

async function* checked(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* gathered(withoutSum(body, createHash('sha256')));
  } catch (error) {
    if (!(error instanceof SumMismatch)) throw error;
    throw new ServiceError('store_unavailable', { store: 'door', reason: 'garbled' }, { cause: error });
  }
}

/** What comes from a socket comes in small pieces, and each of them would be a write of the store's. */
async function* gathered(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    held.push(piece);
    bytes += piece.length;
    if (bytes < writeStepBytes) continue;
    yield Buffer.concat(held, bytes);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held, bytes);
}
