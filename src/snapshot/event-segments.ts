// The sealed events in a snapshot: the new ones in a segment of their own or together with earlier small
// ones, so that thousands of turns lie in few segments. Of many events no more than a pack is held at once.

import type { EventLog } from '../contracts/event-log.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Logger } from '../observability/logger.ts';
import type { PackPut, PutAhead } from './data-packs.ts';
import type { LastObject } from './last-object.ts';
import { Damaged, type EventSegment, type Extent, sha256Of } from './manifest.ts';
import { type Lines, linesOfLog, type PackedLines, packLines, segmentBytes, unpackLines } from './sealed-events.ts';
import { finalLevel, mergedLevel, piecesToMerge } from './tiers.ts';

export type GatheredEvents = {
  /** Stored already: full packs of segments. */
  readonly ahead: readonly { readonly put: PutAhead; readonly segments: readonly SegmentInPack[] }[];
  /** Segments behind those. */
  readonly packed: readonly PackedLines[];
  /** The last events; all there are, if they are few. */
  readonly rest: Lines | null;
};

type SegmentInPack = Omit<EventSegment, 'pack'>;

export type Gathering = {
  readonly log: EventLog;
  readonly key: SessionKey;
  readonly afterSeq: number;
  readonly sealUpTo: number;
  readonly putAhead: PackPut;
  readonly packBytes: number;
  readonly logger: Logger;
};

/** Compresses what the log has while it is read, all but the last; full packs are put. Rejects as `linesOfLog`, and as putting does. */
export async function gatherEvents(gathering: Gathering): Promise<GatheredEvents> {
  const { log, key, afterSeq, sealUpTo, putAhead, packBytes, logger } = gathering;
  const stretches = linesOfLog(log, key, afterSeq, sealUpTo, ({ first, last }) =>
    logger.warn({ event: 'events_lost', session_id: key.sessionId, first, last }, 'events were lost unsealed'),
  );
  const ahead: GatheredEvents['ahead'][number][] = [];
  let packed: PackedLines[] = [];
  let bytes = 0;
  let rest: Lines | null = null;
  for await (const stretch of stretches) {
    if (rest !== null) {
      const segment = await packLines(rest);
      if (packed.length > 0 && bytes + segment.bytes.length > packBytes) {
        const put = await putAhead(packed.map((one) => one.bytes));
        ahead.push({ put, segments: segmentsInPack(packed) });
        packed = [];
        bytes = 0;
      }
      packed.push(segment);
      bytes += segment.bytes.length;
    }
    rest = stretch;
  }
  return { ahead, packed, rest };
}

export type SegmentStorage = {
  readonly last: LastObject;
  /** Answers the number of its pack. */
  readonly numberOf: (put: PutAhead) => number;
  /** What the base has of it. Rejects with Damaged. */
  readonly read: (segment: EventSegment) => Promise<Uint8Array>;
  readonly logger: Logger;
};

/** Answers all segments. */
export async function storeEvents(
  { ahead, packed, rest }: GatheredEvents,
  before: readonly EventSegment[],
  storage: SegmentStorage,
): Promise<readonly EventSegment[]> {
  if (rest === null) return before;
  const { last, numberOf } = storage;
  const place = (one: PackedLines, level: number): EventSegment => {
    return { level: levelOf(one, level), first: one.first, last: one.last, ...last.add(one.bytes) };
  };
  if (ahead.length === 0 && packed.length === 0) {
    const run = segmentsUpTo(before, rest.first);
    const merging = await mergeable(
      run.slice(run.length - piecesToMerge(run.map(({ level }) => level))),
      rest,
      storage,
    );
    const first = merging[0]?.segment.first ?? rest.first;
    const text = Buffer.concat([...merging.map((one) => one.text), rest.text]);
    const level = mergedLevel(merging.map(({ segment }) => segment.level));
    const joined = await packLines({ first, last: rest.last, text });
    return [...before.slice(0, before.length - merging.length), place(joined, level)];
  }
  const stored = ahead.flatMap(({ put, segments }) => {
    const pack = numberOf(put);
    return segments.map((segment) => ({ ...segment, pack }));
  });
  const behind = [...packed, await packLines(rest)];
  return [...before, ...stored, ...behind.map((one) => place(one, 0))];
}

function levelOf({ isLarge }: PackedLines, level: number): number {
  return isLarge ? finalLevel : level;
}

function segmentsInPack(packed: readonly PackedLines[]): SegmentInPack[] {
  let offset = 0;
  return packed.map((one) => {
    const { bytes, first, last } = one;
    const extent: Omit<Extent, 'pack'> = { offset, length: bytes.length, sha256: sha256Of(bytes) };
    offset += bytes.length;
    return { level: levelOf(one, 0), first, last, ...extent };
  });
}

/** The segments at the end between which, and before `next`, no event is missing: no segment hides a gap. */
function segmentsUpTo(segments: readonly EventSegment[], next: number): readonly EventSegment[] {
  let start = segments.length;
  for (let first = next; start > 0 && segments[start - 1]?.last === first - 1; start -= 1) {
    first = segments[start - 1]?.first ?? first;
  }
  return segments.slice(start);
}

type Mergeable = { readonly segment: EventSegment; readonly text: Buffer };

/**
 * Of these segments the last ones, as many as make one of the usual size: what has become so large is not
 * merged again. None when they cannot be read: then they stay as they are, for whoever asks for these events
 * to find out.
 */
async function mergeable(
  segments: readonly EventSegment[],
  rest: Lines,
  { read, logger }: SegmentStorage,
): Promise<readonly Mergeable[]> {
  const found: Mergeable[] = [];
  let bytes = rest.text.length;
  try {
    const stored = await Promise.all(segments.map(async (segment) => ({ segment, packed: await read(segment) })));
    for (const { segment, packed } of stored.toReversed()) {
      const text = await unpackLines(packed);
      bytes += text.length;
      if (bytes > segmentBytes) break;
      found.unshift({ segment, text });
    }
    return found;
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    const { object, problem } = error;
    logger.error({ event: 'sealed_events_damaged', object, problem }, 'sealed events cannot be read');
    return [];
  }
}
