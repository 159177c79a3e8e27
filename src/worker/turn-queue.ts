// The turns that wait in one session, first come first served, and what is known of each on its way.

import type { TurnId } from '../core/ids.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Binding } from './binding.ts';
import type { StopReason } from './running-turn.ts';
import type { TurnTrace } from './turn-trace.ts';

export type QueuedTurn = {
  readonly id: TurnId;
  turn: TurnRecord;
  readonly ended: PromiseWithResolvers<TurnRecord>;
  readonly stop: PromiseWithResolvers<StopReason>;
  /** Aborted when it is asked to stop: ends its wait for a slot and the binding of one. */
  readonly abort: AbortController;
  /** Resolved when the process that runs it has grown too large. */
  readonly overgrown: PromiseWithResolvers<void>;
  stopReason: StopReason | null;
  /** The last text that was given to it, or was to be: one after the other. */
  steering: Promise<void>;
  /** While it is in Codex's hands. */
  run: { readonly binding: Binding; readonly codexTurnId: () => string | null } | null;
  /** From when it is the next of its session. */
  trace: TurnTrace | null;
  /** The place last told of, and when (monotonic). */
  told: { place: number; atMs: number };
  isTelling: boolean;
};

export function queuedTurn(turn: TurnRecord, told: QueuedTurn['told']): QueuedTurn {
  return {
    id: turn.id,
    turn,
    ended: Promise.withResolvers(),
    stop: Promise.withResolvers(),
    abort: new AbortController(),
    overgrown: Promise.withResolvers(),
    stopReason: null,
    steering: Promise.resolve(),
    run: null,
    trace: null,
    told,
    isTelling: false,
  };
}

export class TurnQueue {
  #entries: QueuedTurn[] = [];

  get length(): number {
    return this.#entries.length;
  }

  entries(): readonly QueuedTurn[] {
    return this.#entries;
  }

  push(entry: QueuedTurn): void {
    this.#entries.push(entry);
  }

  shift(): QueuedTurn | null {
    return this.#entries.shift() ?? null;
  }

  /** false when it was not waiting here. */
  remove(entry: QueuedTurn): boolean {
    const place = this.#entries.indexOf(entry);
    if (place === -1) return false;
    this.#entries.splice(place, 1);
    return true;
  }
}
