// Tells the waiting turns of a session where they stand, in their records and as `turn.queued` events:
// at most once a second for each, and far from the front only when it has come a tenth nearer.

import type { Clock } from '../core/clock.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { Logger } from '../observability/logger.ts';
import { changeTurn } from './record-changes.ts';
import type { SessionWriter } from './session-writer.ts';
import type { QueuedTurn } from './turn-queue.ts';

export type TurnPlacesOptions = {
  readonly clock: Clock;
  readonly records: WorkerRecords;
  readonly logger: Logger;
  readonly writer: SessionWriter;
  /** Those who wait, in order; 1 is the place of the first one. */
  readonly waiting: () => { readonly entries: readonly QueuedTurn[]; readonly firstPlace: number };
};

const everyMs = 1_000;
/** Up to here every step is worth a word. */
const nearPlaces = 10;

export class TurnPlaces {
  readonly #options: TurnPlacesOptions;
  #cancel: (() => void) | null = null;
  #isStopped = false;

  constructor(options: TurnPlacesOptions) {
    this.#options = options;
  }

  /** The first word about a turn that has just come. */
  entered(entry: QueuedTurn): void {
    this.#options.writer.write({
      type: 'turn.queued',
      turnId: entry.id,
      fields: { position: entry.told.place },
      raw: null,
    });
  }

  /** Somebody has moved. */
  changed(): void {
    if (this.#isStopped) return;
    const { clock, waiting } = this.#options;
    const nowMs = clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    const { entries, firstPlace } = waiting();
    for (const [index, entry] of entries.entries()) {
      const place = firstPlace + index;
      if (!isNews(entry.told.place, place)) continue;
      const dueMs = entry.told.atMs + everyMs;
      if (dueMs <= nowMs && !entry.isTelling) this.#tell(entry, place, nowMs);
      else nextMs = Math.min(nextMs, Math.max(dueMs, nowMs + everyMs / 4));
    }
    this.#cancel?.();
    this.#cancel = Number.isFinite(nextMs) ? clock.after(nextMs - nowMs, () => this.changed()) : null;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #tell(entry: QueuedTurn, place: number, nowMs: number): void {
    entry.told = { place, atMs: nowMs };
    this.entered(entry);
    entry.isTelling = true;
    void this.#record(entry, place).finally(() => {
      entry.isTelling = false;
    });
  }

  async #record(entry: QueuedTurn, place: number): Promise<void> {
    const { logger } = this.#options;
    try {
      const written = await changeTurn(this.#options, entry.turn, (turn) =>
        turn.status === 'queued' && entry.stopReason === null ? { ...turn, queuePosition: place } : null,
      );
      // It may have begun to run meanwhile: its record is another's to keep then.
      if (written !== null && entry.turn.status === 'queued') entry.turn = written;
    } catch (error) {
      logger.warn(
        { event: 'queue_position_not_recorded', turn_id: entry.id, err: error },
        'a place in the queue could not be recorded',
      );
    }
  }
}

function isNews(told: number, place: number): boolean {
  if (place === told) return false;
  return place <= nearPlaces || place > told || place <= told * 0.9;
}
