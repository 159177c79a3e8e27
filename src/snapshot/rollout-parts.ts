// The rollout in a snapshot: what was appended since the last one, in a part of its own or together with
// earlier small parts, so that a conversation of thousands of turns lies in few pieces.

import { ServiceError } from '../core/errors.ts';
import type { LastObject } from './last-object.ts';
import { type Manifest, type RolloutPart, sha256Of } from './manifest.ts';
import { markAfter, type RolloutFile, type RolloutMark } from './rollout-file.ts';
import { finalLevel, mergedLevel, piecesToMerge } from './tiers.ts';

export type RolloutTail = {
  /** Where it begins: 0 also when what was committed is no longer there, so that all is stored anew. */
  readonly start: number;
  readonly bytes: Buffer;
  /** Of the whole. */
  readonly mark: RolloutMark;
};

/** `remembered` saves reading what is committed once more. Throws `session_corrupt` when there is nothing. */
export async function readRolloutTail(
  rollout: RolloutFile,
  committed: Manifest['rollout'] | null,
  remembered: RolloutMark | null,
): Promise<RolloutTail> {
  let mark: RolloutMark | null = null;
  if (committed !== null && rollout.bytes >= committed.bytes) {
    const isRemembered =
      remembered?.inode === rollout.inode &&
      remembered.bytes === committed.bytes &&
      remembered.sha256 === committed.sha256;
    mark = isRemembered ? remembered : await rollout.mark(committed.bytes);
    // The agent wrote over it: what is there now is the rollout.
    if (mark.sha256 !== committed.sha256) mark = null;
  }
  mark ??= await rollout.mark(0);
  const bytes = await rollout.read(mark.bytes, rollout.bytes);
  if (mark.bytes + bytes.length === 0) {
    throw new ServiceError('session_corrupt', { part: 'rollout', problem: 'it is empty' });
  }
  return { start: mark.bytes, bytes, mark: markAfter(mark, bytes) };
}

export type RolloutStorage = {
  readonly last: LastObject;
  /** Puts a pack of this number, for what is too large for the last object. */
  readonly putPack: (pack: number, bytes: Uint8Array) => Promise<void>;
  readonly nextPack: number;
  readonly packBytes: number;
};

/** Answers all parts, and the next free number of a pack. */
export async function storeRolloutTail(
  rollout: RolloutFile,
  tail: RolloutTail,
  committed: readonly RolloutPart[],
  { last, putPack, nextPack, packBytes }: RolloutStorage,
): Promise<{ readonly parts: readonly RolloutPart[]; readonly nextPack: number }> {
  const before = tail.start === 0 ? [] : committed;
  if (tail.bytes.length === 0) return { parts: before, nextPack };
  const large: RolloutPart[] = [];
  let start = 0;
  for (; tail.bytes.length - start > packBytes; start += packBytes) {
    const piece = tail.bytes.subarray(start, start + packBytes);
    const pack = nextPack + large.length;
    await putPack(pack, piece);
    large.push({ level: finalLevel, pack, offset: 0, length: piece.length, sha256: sha256Of(piece) });
  }
  const rest = tail.bytes.subarray(start);
  const levelOf = (piece: Buffer, level: number): number => (piece.length >= packBytes / 8 ? finalLevel : level);
  const count = large.length > 0 ? 0 : piecesToMerge(before.map(({ level }) => level));
  const merging = before.slice(before.length - count);
  const merged = await mergedWith(rollout, tail, merging);
  const isMerged = merged !== null && count > 0;
  const piece = isMerged ? merged : rest;
  const level = levelOf(piece, isMerged ? mergedLevel(merging.map((part) => part.level)) : 0);
  const kept = isMerged ? before.slice(0, before.length - count) : before;
  return { parts: [...kept, ...large, { level, ...last.add(piece) }], nextPack: nextPack + large.length };
}

/** These parts and the tail as one, read from the disk; null when it no longer has them as they were committed. */
async function mergedWith(
  rollout: RolloutFile,
  tail: RolloutTail,
  merging: readonly RolloutPart[],
): Promise<Buffer | null> {
  const length = merging.reduce((sum, part) => sum + part.length, 0);
  const bytes = await rollout.read(tail.start - length, tail.start);
  let offset = 0;
  for (const part of merging) {
    if (sha256Of(bytes.subarray(offset, offset + part.length)) !== part.sha256) return null;
    offset += part.length;
  }
  return Buffer.concat([bytes, tail.bytes]);
}
