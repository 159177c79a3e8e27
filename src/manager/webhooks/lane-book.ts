// What this run of a leader knows of lanes and receivers: which lane is to be looked at, how many deliveries are
// under way to whom, and who does not answer at present. Nothing in it is needed again: the records have all.

import type { TenantId } from '../../core/ids.ts';
import { targetIdOfLane } from '../../core/webhook.ts';

export type Lane = {
  readonly tenant: TenantId;
  readonly name: string;
  readonly receiver: ReceiverState;
  state: LaneState;
};

/** waiting: its first delivery is not due before then. */
type LaneState =
  | { readonly name: 'waiting'; readonly untilMs: number }
  | { readonly name: 'queued' }
  | { readonly name: 'at work'; readonly countsAsFailing: boolean; isSeenAgain: boolean };

export type ReceiverState = {
  readonly tenant: TenantId;
  readonly targetId: string;
  readonly key: string;
  readonly queue: Set<Lane>;
  lanes: number;
  atWork: number;
  /** In a row; so is the time of the first of them, by the wall clock. */
  failures: number;
  failingSince: number | null;
  arrivedAt: number | null;
  /** Nothing is sent before; by the monotonic clock. */
  notBeforeMs: number;
};

export type LaneBookLimits = {
  readonly mostAtOnce: number;
  readonly mostOfReceiver: number;
  /** All receivers that do not answer together: the rest is for those that do. */
  readonly mostToFailing: number;
  readonly mostLanes: number;
  readonly mostLanesOfReceiver: number;
};

/** So many failures in a row, and one delivery at a time asks whether the receiver is there again. */
export const failuresUntilProbed = 3;
const firstProbeMs = 1_000;
const longestProbeMs = 60_000;

export class LaneBook {
  readonly #limits: LaneBookLimits;
  readonly #lanes = new Map<string, Lane>();
  /** Those that lanes are known of, in the order of their turns. */
  readonly #receivers = new Map<string, ReceiverState>();
  #atWork = 0;
  #atWorkForFailing = 0;

  constructor(limits: LaneBookLimits) {
    this.#limits = limits;
  }

  /** Lanes that wait for their turn or are at work. */
  get due(): number {
    let due = this.#atWork;
    for (const { queue } of this.#receivers.values()) due += queue.size;
    return due;
  }

  /** One of its deliveries is due. Answers whether that was news; not where there is no room to remember the lane. */
  see(tenant: TenantId, name: string, nowMs: number): boolean {
    const key = keyOf(tenant, name);
    const known = this.#lanes.get(key);
    if (known !== undefined) {
      // Who looks at it now may have looked before this one was there.
      if (known.state.name === 'at work') known.state.isSeenAgain = true;
      if (known.state.name === 'waiting' && known.state.untilMs <= nowMs) this.#queue(known);
      return false;
    }
    const receiver = this.#receiverOf(tenant, targetIdOfLane(name));
    if (this.#lanes.size >= this.#limits.mostLanes || receiver.lanes >= this.#limits.mostLanesOfReceiver) return false;
    const lane: Lane = { tenant, name, receiver, state: { name: 'queued' } };
    this.#lanes.set(key, lane);
    this.#receivers.set(receiver.key, receiver);
    receiver.lanes++;
    receiver.queue.add(lane);
    return true;
  }

  /** Queues those that have waited long enough. */
  wake(nowMs: number): void {
    for (const lane of this.#lanes.values())
      if (lane.state.name === 'waiting' && lane.state.untilMs <= nowMs) this.#queue(lane);
  }

  /** The next to be looked at, at work from now on; receivers in turn. null: none may be now. */
  take(nowMs: number): Lane | null {
    if (this.#atWork >= this.#limits.mostAtOnce) return null;
    for (const receiver of this.#receivers.values()) {
      if (!this.#mayTake(receiver, nowMs)) continue;
      const [lane] = receiver.queue;
      if (lane === undefined) continue;
      receiver.queue.delete(lane);
      // Its next turn comes after that of all others.
      this.#receivers.delete(receiver.key);
      this.#receivers.set(receiver.key, receiver);
      const countsAsFailing = receiver.failures > 0;
      lane.state = { name: 'at work', countsAsFailing, isSeenAgain: false };
      receiver.atWork++;
      this.#atWork++;
      if (countsAsFailing) this.#atWorkForFailing++;
      return lane;
    }
    return null;
  }

  /** `next`: when to look again, at once, or not before one of its deliveries is seen again. */
  release(lane: Lane, next: number | 'at once' | 'when seen'): void {
    const { receiver, state } = lane;
    if (state.name !== 'at work') return;
    receiver.atWork--;
    this.#atWork--;
    if (state.countsAsFailing) this.#atWorkForFailing--;
    if (next === 'at once' || (next === 'when seen' && state.isSeenAgain)) this.#queue(lane);
    else if (next === 'when seen') this.#forget(lane);
    else lane.state = { name: 'waiting', untilMs: next };
  }

  arrived(receiver: ReceiverState, at: number): void {
    receiver.failures = 0;
    receiver.failingSince = null;
    receiver.notBeforeMs = -Infinity;
    receiver.arrivedAt = at;
  }

  failed(receiver: ReceiverState, at: number, nowMs: number, retryAfterMs: number): void {
    receiver.failures++;
    receiver.failingSince ??= at;
    const doublings = receiver.failures - failuresUntilProbed;
    const probeMs = doublings < 0 ? 0 : Math.min(longestProbeMs, firstProbeMs * 2 ** Math.min(doublings, 10));
    receiver.notBeforeMs = Math.max(receiver.notBeforeMs, nowMs + Math.max(probeMs, retryAfterMs));
  }

  #mayTake({ atWork, failures, notBeforeMs, queue }: ReceiverState, nowMs: number): boolean {
    const { mostOfReceiver, mostToFailing } = this.#limits;
    if (queue.size === 0 || nowMs < notBeforeMs) return false;
    if (failures > 0 && this.#atWorkForFailing >= mostToFailing) return false;
    return atWork < (failures >= failuresUntilProbed ? 1 : mostOfReceiver);
  }

  #queue(lane: Lane): void {
    lane.state = { name: 'queued' };
    lane.receiver.queue.add(lane);
  }

  #forget(lane: Lane): void {
    const { receiver } = lane;
    this.#lanes.delete(keyOf(lane.tenant, lane.name));
    receiver.lanes--;
    // Who does not answer at present is remembered as long as anything is known to wait for it.
    if (receiver.lanes === 0) this.#receivers.delete(receiver.key);
  }

  #receiverOf(tenant: TenantId, targetId: string): ReceiverState {
    const key = targetId === 'topic' ? targetId : keyOf(tenant, targetId);
    const known = this.#receivers.get(key);
    if (known !== undefined) return known;
    return {
      tenant,
      targetId,
      key,
      queue: new Set(),
      lanes: 0,
      atWork: 0,
      failures: 0,
      failingSince: null,
      arrivedAt: null,
      notBeforeMs: -Infinity,
    };
  }
}

function keyOf(tenant: TenantId, name: string): string {
  return JSON.stringify([tenant, name]);
}
