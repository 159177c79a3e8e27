// What this run of a leader knows of lanes and receivers: which lane is to be looked at, how many deliveries are
// under way to whom, and who does not answer at present. Nothing in it is needed again: the records have all.

import type { TenantId } from '../../core/ids.ts';
import { targetIdOfLane } from '../../core/webhook.ts';

export type Lane = {
  readonly tenant: TenantId;
  readonly name: string;
  /** A job's lane is of its own until it is known where the job's receiver is. */
  receiver: ReceiverState;
  state: LaneState;
};

/** waiting: its first delivery is not due before then. */
type LaneState =
  | { readonly name: 'waiting'; readonly untilMs: number }
  | { readonly name: 'queued' }
  | { readonly name: 'at work'; countsAsFailing: boolean; isSeenAgain: boolean };

/** Whose receivers take turns, and places, together: a tenant; the fleet's topic is one of its own. */
type Party = {
  readonly key: string;
  /** Those that something is queued for, in the order of their turns. */
  readonly receivers: Set<ReceiverState>;
  lanes: number;
  atWork: number;
};

export type ReceiverState = {
  readonly tenant: TenantId;
  readonly key: string;
  readonly party: Party;
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
  readonly mostOfTenant: number;
  readonly mostOfReceiver: number;
  /** All receivers that do not answer together: the rest is for those that do. */
  readonly mostToFailing: number;
  readonly mostLanes: number;
  readonly mostLanesOfTenant: number;
  readonly mostLanesOfReceiver: number;
  /** One that is probed is done with few in an hour: the places of the others would be taken from those that answer. */
  readonly mostLanesOfProbed: number;
};

/** So many failures in a row, and one delivery at a time asks whether the receiver is there again. */
export const failuresUntilProbed = 3;
const firstProbeMs = 1_000;
const longestProbeMs = 60_000;

/** Who waits longer keeps no place: shown again when it is due, by the scan. */
const longestWaitMs = 60_000;
/** Until there is asked again for room with a receiver that many others share. */
const noRoomMs = 300_000;
/** Of those without a place it is remembered when to look again; not of more than so many. */
const mostAsleep = 20_000;
/** That failed, and have no lane at present. */
const mostUnanswering = 1_000;

export class LaneBook {
  readonly #limits: LaneBookLimits;
  readonly #lanes = new Map<string, Lane>();
  readonly #parties = new Map<string, Party>();
  readonly #receivers = new Map<string, ReceiverState>();
  readonly #unanswering = new Map<string, ReceiverState>();
  /** Since the scan shows what is behind the first of a lane, too: not to be looked at before. */
  readonly #asleep = new Map<string, number>();
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
    if ((this.#asleep.get(key) ?? -Infinity) > nowMs) return false;
    const targetId = targetIdOfLane(name);
    const isTopic = targetId === 'topic';
    const partyKey = isTopic ? targetId : keyOf(tenant, '');
    const receiver = this.#receiverOf(tenant, isTopic ? targetId : keyOf(tenant, targetId), partyKey);
    const { mostLanes, mostLanesOfTenant } = this.#limits;
    if (this.#lanes.size >= mostLanes || receiver.party.lanes >= mostLanesOfTenant) return false;
    if (receiver.lanes >= this.#mostLanesOf(receiver)) return false;
    this.#asleep.delete(key);
    const lane: Lane = { tenant, name, receiver, state: { name: 'queued' } };
    this.#lanes.set(key, lane);
    this.#parties.set(partyKey, receiver.party);
    receiver.party.lanes++;
    this.#join(lane, receiver);
    this.#queue(lane);
    return true;
  }

  /** Queues those that have waited long enough. */
  wake(nowMs: number): void {
    for (const lane of this.#lanes.values())
      if (lane.state.name === 'waiting' && lane.state.untilMs <= nowMs) this.#queue(lane);
  }

  /** The next to be looked at, at work from now on; tenants in turn, and the receivers of each. null: none may be now. */
  take(nowMs: number): Lane | null {
    const { mostAtOnce, mostOfTenant } = this.#limits;
    if (this.#atWork >= mostAtOnce) return null;
    for (const party of this.#parties.values()) {
      if (party.atWork >= mostOfTenant) continue;
      for (const receiver of party.receivers) {
        const [lane] = receiver.queue;
        if (lane === undefined || !this.#mayTake(receiver, nowMs)) continue;
        this.#leaveQueue(lane);
        // Their next turn comes after that of all others.
        if (party.receivers.delete(receiver)) party.receivers.add(receiver);
        this.#parties.delete(party.key);
        this.#parties.set(party.key, party);
        lane.state = { name: 'at work', countsAsFailing: false, isSeenAgain: false };
        party.atWork++;
        this.#atWork++;
        this.#beginWork(lane);
        return lane;
      }
    }
    return null;
  }

  /**
   * Of a lane at work: its receiver is the one that all of the tenant's lanes with this name share. Answers null
   * where it may go on, else when it is to be looked at again.
   */
  share(lane: Lane, name: string, nowMs: number): null | number | 'at once' {
    const { receiver: before, tenant } = lane;
    const key = keyOf(tenant, name);
    if (before.key === key || lane.state.name !== 'at work') return null;
    const receiver = this.#receiverOf(tenant, key, before.party.key);
    if (receiver.lanes >= this.#mostLanesOf(receiver)) return nowMs + noRoomMs;
    const mayGoOn = this.#mayTake(receiver, nowMs);
    this.#endWork(lane);
    this.#join(lane, receiver);
    this.#leave(before);
    this.#beginWork(lane);
    return mayGoOn ? null : 'at once';
  }

  /** `next`: when to look again, at once, or not before one of its deliveries is seen again. */
  release(lane: Lane, next: number | 'at once' | 'when seen', nowMs: number): void {
    const { receiver, state } = lane;
    if (state.name !== 'at work') return;
    this.#endWork(lane);
    receiver.party.atWork--;
    this.#atWork--;
    if (next === 'at once' || (next === 'when seen' && state.isSeenAgain)) this.#queue(lane);
    else if (next === 'when seen') this.#forget(lane);
    else if (next - nowMs <= longestWaitMs) lane.state = { name: 'waiting', untilMs: next };
    else {
      this.#forget(lane);
      // A little before its time: by which clock that is due is not this one.
      setBounded(this.#asleep, keyOf(lane.tenant, lane.name), next - longestWaitMs, mostAsleep);
    }
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
    const tooMany = receiver.lanes - this.#mostLanesOf(receiver);
    if (tooMany > 0) for (const lane of [...receiver.queue].slice(-tooMany)) this.#forget(lane);
  }

  #mostLanesOf({ failures }: ReceiverState): number {
    const { mostLanesOfProbed, mostLanesOfReceiver } = this.#limits;
    return failures >= failuresUntilProbed ? mostLanesOfProbed : mostLanesOfReceiver;
  }

  #mayTake({ atWork, failures, notBeforeMs }: ReceiverState, nowMs: number): boolean {
    const { mostOfReceiver, mostToFailing } = this.#limits;
    if (nowMs < notBeforeMs) return false;
    if (failures > 0 && this.#atWorkForFailing >= mostToFailing) return false;
    return atWork < (failures >= failuresUntilProbed ? 1 : mostOfReceiver);
  }

  #beginWork({ receiver, state }: Lane): void {
    receiver.atWork++;
    if (state.name !== 'at work') return;
    state.countsAsFailing = receiver.failures > 0;
    if (state.countsAsFailing) this.#atWorkForFailing++;
  }

  #endWork({ receiver, state }: Lane): void {
    receiver.atWork--;
    if (state.name === 'at work' && state.countsAsFailing) this.#atWorkForFailing--;
  }

  #queue(lane: Lane): void {
    const { receiver } = lane;
    lane.state = { name: 'queued' };
    receiver.queue.add(lane);
    receiver.party.receivers.add(receiver);
  }

  #leaveQueue(lane: Lane): void {
    const { party, queue } = lane.receiver;
    queue.delete(lane);
    if (queue.size === 0) party.receivers.delete(lane.receiver);
  }

  #forget(lane: Lane): void {
    const { party } = lane.receiver;
    this.#leaveQueue(lane);
    this.#lanes.delete(keyOf(lane.tenant, lane.name));
    party.lanes--;
    this.#leave(lane.receiver);
    if (party.lanes === 0) this.#parties.delete(party.key);
  }

  #join(lane: Lane, receiver: ReceiverState): void {
    lane.receiver = receiver;
    receiver.lanes++;
    this.#receivers.set(receiver.key, receiver);
    this.#unanswering.delete(receiver.key);
  }

  #leave(receiver: ReceiverState): void {
    receiver.lanes--;
    if (receiver.lanes > 0) return;
    this.#receivers.delete(receiver.key);
    // Its lanes wait for hours by then: they should not find it as if it had never failed.
    if (receiver.failures > 0) setBounded(this.#unanswering, receiver.key, receiver, mostUnanswering);
  }

  #receiverOf(tenant: TenantId, key: string, partyKey: string): ReceiverState {
    const known = this.#receivers.get(key);
    if (known !== undefined) return known;
    const party = this.#parties.get(partyKey) ?? { key: partyKey, receivers: new Set(), lanes: 0, atWork: 0 };
    const before = this.#unanswering.get(key);
    if (before !== undefined) return { ...before, party };
    return {
      tenant,
      key,
      party,
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

/** The oldest goes where there are too many. */
function setBounded<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= most) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
