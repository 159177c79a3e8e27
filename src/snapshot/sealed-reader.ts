// Reads stored events out of snapshots. The segments used last are kept, so that reading page by page does
// not take each apart again.

import type { LogPage } from '../contracts/event-log.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { StoredEvent } from '../core/event.ts';
import { sessionName } from './bound-session.ts';
import type { EventSegment, Manifest } from './manifest.ts';
import { parseEvents, unpackLines } from './sealed-events.ts';
import type { VerifiedObjects } from './verified-objects.ts';

/** Of the text that the kept segments were parsed from; one is kept whatever its size. */
const maxKeptBytes = 32 * 1024 * 1024;

type Segment = { readonly events: readonly StoredEvent[]; readonly bytes: number };

export class SealedReader {
  readonly #objects: VerifiedObjects;
  readonly #segments = new Map<string, Segment>();
  #keptBytes = 0;

  constructor(objects: VerifiedObjects) {
    this.#objects = objects;
  }

  /**
   * As a log answers, 0 for `firstSeq` and `lastSeq` when nothing is sealed. Where events were lost before they
   * were sealed, the page ends; the next one begins behind, and its `firstSeq` claims nothing before that.
   * Rejects with Damaged and what the store rejects with.
   */
  async read(key: SessionKey, manifest: Manifest, afterSeq: number, limit: number): Promise<LogPage> {
    const events: StoredEvent[] = [];
    for (const segment of manifest.events) {
      if (events.length >= limit || segment.first > (events.at(-1)?.header.seq ?? segment.first) + 1) break;
      if (segment.last <= afterSeq) continue;
      for (const event of await this.#events(key, manifest, segment)) {
        if (event.header.seq > afterSeq && events.length < limit) events.push(event);
      }
    }
    const first = events[0]?.header.seq ?? afterSeq + 1;
    return { events, firstSeq: firstOfRun(manifest.events, first), lastSeq: manifest.events.at(-1)?.last ?? 0 };
  }

  async #events(key: SessionKey, manifest: Manifest, segment: EventSegment): Promise<readonly StoredEvent[]> {
    const name = `${sessionName(key)}\n${segment.sha256}`;
    const kept = this.#segments.get(name) ?? (await this.#parsed(key, manifest, segment));
    this.#forget(name);
    this.#segments.set(name, kept);
    this.#keptBytes += kept.bytes;
    for (const oldest of this.#segments.keys()) {
      if (this.#keptBytes <= maxKeptBytes || oldest === name) break;
      this.#forget(oldest);
    }
    return kept.events;
  }

  async #parsed(key: SessionKey, manifest: Manifest, segment: EventSegment): Promise<Segment> {
    const text = await unpackLines(await this.#objects.read(key, manifest, segment, 'events'));
    return { events: parseEvents(text), bytes: text.length };
  }

  #forget(name: string): void {
    this.#keptBytes -= this.#segments.get(name)?.bytes ?? 0;
    this.#segments.delete(name);
  }
}

/** Where the events begin that lead up to `seq` without one missing; where the last such run does, for a later seq. */
function firstOfRun(segments: readonly EventSegment[], seq: number): number {
  let first = 0;
  let last = -1;
  for (const segment of segments) {
    if (segment.first !== last + 1) first = segment.first;
    last = segment.last;
    if (last >= seq) break;
  }
  return first;
}
