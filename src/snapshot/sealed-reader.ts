// Reads stored events out of snapshots. The segments used last are kept, so that reading page by page does
// not take each apart again.

import type { SessionKey } from '../contracts/worker-link.ts';
import type { StoredEvent } from '../core/event.ts';
import { sessionName } from './bound-session.ts';
import type { EventSegment, Manifest } from './manifest.ts';
import { parseEvents, unpackLines } from './sealed-events.ts';
import type { VerifiedObjects } from './verified-objects.ts';

const maxSegments = 16;

export class SealedReader {
  readonly #objects: VerifiedObjects;
  readonly #segments = new Map<string, readonly StoredEvent[]>();

  constructor(objects: VerifiedObjects) {
    this.#objects = objects;
  }

  /** In order, behind `afterSeq`, at most `limit`. Rejects with Damaged and what the store rejects with. */
  async read(key: SessionKey, manifest: Manifest, afterSeq: number, limit: number): Promise<StoredEvent[]> {
    const events: StoredEvent[] = [];
    for (const segment of manifest.events) {
      if (events.length >= limit) break;
      if (segment.last <= afterSeq) continue;
      for (const event of await this.#events(key, manifest, segment)) {
        if (event.header.seq > afterSeq && events.length < limit) events.push(event);
      }
    }
    return events;
  }

  async #events(key: SessionKey, manifest: Manifest, segment: EventSegment): Promise<readonly StoredEvent[]> {
    const name = `${sessionName(key)}\n${segment.sha256}`;
    const cached = this.#segments.get(name);
    const events = cached ?? parseEvents(await unpackLines(await this.#objects.read(key, manifest, segment, 'events')));
    this.#segments.delete(name);
    this.#segments.set(name, events);
    const [oldest] = this.#segments.keys();
    if (this.#segments.size > maxSegments && oldest !== undefined) this.#segments.delete(oldest);
    return events;
  }
}
