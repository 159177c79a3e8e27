// The sealed events in a snapshot: the new ones in a segment of their own or together with earlier small
// ones, so that thousands of turns lie in few segments.

import type { Logger } from '../observability/logger.ts';
import type { LastObject } from './last-object.ts';
import { Damaged, type EventSegment } from './manifest.ts';
import { type Lines, packLines, unpackLines } from './sealed-events.ts';
import { finalLevel, mergedLevel, piecesToMerge } from './tiers.ts';

export type SegmentStorage = {
  readonly last: LastObject;
  /** What the base has of it. Rejects with Damaged. */
  readonly read: (segment: EventSegment) => Promise<Uint8Array>;
  readonly logger: Logger;
};

/** Answers all segments. */
export async function storeEvents(
  events: readonly Lines[],
  before: readonly EventSegment[],
  storage: SegmentStorage,
): Promise<readonly EventSegment[]> {
  const [first, ...others] = events;
  if (first === undefined) return before;
  const count = others.length > 0 ? 0 : piecesToMerge(before.map(({ level }) => level));
  const merging = before.slice(before.length - count);
  const old = await linesOf(merging, storage);
  const kept = old === null ? before : before.slice(0, before.length - count);
  const level = old === null ? 0 : mergedLevel(merging.map((segment) => segment.level));
  const start = old === null ? first.first : (merging[0]?.first ?? first.first);
  const joined = { first: start, last: first.last, text: Buffer.concat([...(old ?? []), first.text]) };
  const packed = await Promise.all([joined, ...others].map(packLines));
  return [
    ...kept,
    ...packed.map((one) => {
      const placed = storage.last.add(one.bytes);
      return { level: one.isLarge ? finalLevel : level, first: one.first, last: one.last, ...placed };
    }),
  ];
}

/** null when they cannot be read: then they stay as they are, for whoever asks for these events to find out. */
async function linesOf(
  segments: readonly EventSegment[],
  { read, logger }: SegmentStorage,
): Promise<readonly Buffer[] | null> {
  try {
    return await Promise.all(segments.map(async (segment) => await unpackLines(await read(segment))));
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    const { object, problem } = error;
    logger.error({ event: 'sealed_events_damaged', object, problem }, 'sealed events cannot be read');
    return null;
  }
}
