// The rollout in a snapshot: what was appended since the last one, in a part of its own or together with
// earlier small parts, so that a conversation of thousands of turns lies in few pieces. Of what is large no
// more than a pack is held at once.

import { ServiceError } from '../core/errors.ts';
import type { PackPut, PutAhead } from './data-packs.ts';
import type { LastObject } from './last-object.ts';
import { type Manifest, type RolloutPart, sha256Of } from './manifest.ts';
import { markOf, type RolloutFile, type RolloutMark } from './rollout-file.ts';
import { finalLevel, mergedLevel, piecesToMerge, piecesWithin } from './tiers.ts';
import type { ToolSearch } from './tool-calls.ts';

export type RolloutTail = {
  /** Where it begins: 0 also when what was committed is no longer there, so that all is stored anew. */
  readonly start: number;
  /** What is stored already, in packs of its own: all of it that would not fit into one. */
  readonly ahead: readonly { readonly put: PutAhead; readonly sha256: string }[];
  /** What follows; empty when the tail is. */
  readonly rest: Buffer;
  /** Of the whole. */
  readonly mark: RolloutMark;
};

export type TailReading = {
  /** What is known of the file saves reading what is committed once more. */
  readonly remembered: RolloutMark | null;
  /** Is given the tail. */
  readonly search: ToolSearch;
  readonly putAhead: PackPut;
  readonly packBytes: number;
};

/** Throws `session_corrupt` when there is nothing, and what putting throws. */
export async function readRolloutTail(
  rollout: RolloutFile,
  committed: Manifest['rollout'] | null,
  { remembered, search, putAhead, packBytes }: TailReading,
): Promise<RolloutTail> {
  const start = await committedPart(rollout, committed, remembered);
  const hash = start.hash.copy();
  const room = Buffer.allocUnsafeSlow(Math.min(packBytes, rollout.bytes - start.bytes));
  const ahead: RolloutTail['ahead'][number][] = [];
  let used = 0;
  let bytes = start.bytes;
  for await (const piece of rollout.pieces(start.bytes, rollout.bytes)) {
    hash.update(piece);
    search.add(piece);
    bytes += piece.length;
    for (let taken = 0; taken < piece.length; ) {
      if (used === room.length) {
        ahead.push({ put: await putAhead([room]), sha256: sha256Of(room) });
        used = 0;
      }
      const copied = piece.copy(room, used, taken);
      used += copied;
      taken += copied;
    }
  }
  if (bytes === 0) throw new ServiceError('session_corrupt', { part: 'rollout', problem: 'it is empty' });
  return { start: start.bytes, ahead, rest: room.subarray(0, used), mark: markOf(rollout.inode, bytes, hash) };
}

/** What the file has of what was committed: all of it, or nothing when the agent wrote over it. */
async function committedPart(
  rollout: RolloutFile,
  committed: Manifest['rollout'] | null,
  remembered: RolloutMark | null,
): Promise<RolloutMark> {
  if (committed !== null && rollout.bytes >= committed.bytes) {
    const isRemembered =
      remembered?.inode === rollout.inode &&
      remembered.bytes === committed.bytes &&
      remembered.sha256 === committed.sha256;
    const mark = isRemembered ? remembered : await rollout.mark(committed.bytes);
    if (mark.sha256 === committed.sha256) return mark;
  }
  return await rollout.mark(0);
}

export type RolloutStorage = {
  readonly last: LastObject;
  /** Answers the number of its pack. */
  readonly numberOf: (put: PutAhead) => number;
  readonly packBytes: number;
};

/** Answers all parts. */
export async function storeRolloutTail(
  rollout: RolloutFile,
  { start, ahead, rest, mark }: RolloutTail,
  committed: readonly RolloutPart[],
  { last, numberOf, packBytes }: RolloutStorage,
): Promise<readonly RolloutPart[]> {
  const before = start === 0 ? [] : committed;
  if (mark.bytes === start) return before;
  const large = ahead.map(({ put, sha256 }) => {
    return { level: finalLevel, pack: numberOf(put), offset: 0, length: put.bytes, sha256 };
  });
  const merging = large.length > 0 ? [] : partsToMerge(before, packBytes - rest.length);
  const merged = merging.length === 0 ? null : await mergedWith(rollout, start, merging, rest);
  const kept = merged === null ? before : before.slice(0, before.length - merging.length);
  const piece = merged ?? rest;
  const level = merged === null ? 0 : mergedLevel(merging.map((part) => part.level));
  const isLarge = piece.length >= packBytes / 8;
  return [...kept, ...large, { level: isLarge ? finalLevel : level, ...last.add(piece) }];
}

/** Those for which there is no room stay as they are: what is merged is large enough then, once and for all. */
function partsToMerge(parts: readonly RolloutPart[], room: number): readonly RolloutPart[] {
  const count = piecesToMerge(parts.map(({ level }) => level));
  const some = parts.slice(parts.length - count);
  const fitting = piecesWithin(
    some.map(({ length }) => length),
    room,
  );
  return some.slice(some.length - fitting);
}

/** These parts, read from the disk, and the tail as one; null when it no longer has them as they were committed. */
async function mergedWith(
  rollout: RolloutFile,
  start: number,
  merging: readonly RolloutPart[],
  rest: Buffer,
): Promise<Buffer | null> {
  const length = merging.reduce((sum, part) => sum + part.length, 0);
  const bytes = await rollout.read(start - length, start);
  let offset = 0;
  for (const part of merging) {
    if (sha256Of(bytes.subarray(offset, offset + part.length)) !== part.sha256) return null;
    offset += part.length;
  }
  return Buffer.concat([bytes, rest]);
}
