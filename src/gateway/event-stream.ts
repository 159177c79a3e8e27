// One stream of events to one client: from the log to a sink, within a scope, until the scope ends,
// the client goes, or we do.

import type { LogKey } from '../contracts/event-log.ts';
import { isTerminalEventType, type StoredEvent } from '../core/event.ts';
import type { TurnId } from '../core/ids.ts';
import { isTerminal } from '../core/turn.ts';
import type { Gear } from './gateway-parts.ts';
import { LogFollower } from './log-follower.ts';

export type StreamScope = {
  readonly key: LogKey;
  readonly afterSeq: number;
  /** Of the event there, where the reader has seen it. */
  readonly afterEpoch?: number | null;
  /** With a turn: its events and those that concern the whole session, ending with its terminal event. */
  readonly turnId: TurnId | null;
};

/** Where events go. Each call is awaited before the next: a slow sink slows the reading, nothing else. */
export interface EventSink {
  write(events: readonly StoredEvent[]): Promise<void>;
  /** Nothing happened for a heartbeat. */
  beat(): Promise<void>;
}

export type StreamEnd = 'turn_over' | 'closed';

type StreamParts = Pick<Gear, 'log' | 'clock' | 'limits' | 'records'> & {
  readonly metrics: Pick<Gear['metrics'], 'streamLagSeconds'>;
};

export class EventStream {
  readonly #follower: LogFollower;
  readonly #scope: StreamScope;
  readonly #parts: StreamParts;
  readonly #openedAt: number;

  private constructor(follower: LogFollower, scope: StreamScope, parts: StreamParts) {
    this.#follower = follower;
    this.#scope = scope;
    this.#parts = parts;
    this.#openedAt = parts.clock.now();
  }

  /** Rejects while there is still time to answer with an error. */
  static async open(gear: StreamParts, scope: StreamScope, signal: AbortSignal): Promise<EventStream> {
    const follower = await LogFollower.open({
      log: gear.log,
      clock: gear.clock,
      key: scope.key,
      afterSeq: scope.afterSeq,
      afterEpoch: scope.afterEpoch ?? null,
      signal,
      maxWaitingBytes: gear.limits.connectionBufferBytes,
      isErased: async () => {
        const session = await gear.records.sessions.get(scope.key.tenant, scope.key.sessionId);
        return session === null || session.erasing === true;
      },
    });
    return new EventStream(follower, scope, gear);
  }

  async pump(sink: EventSink): Promise<StreamEnd> {
    try {
      for (;;) {
        const batch = await this.#follower.next(this.#parts.limits.heartbeatMs);
        if (batch === null) return 'closed';
        const { events, isOver } = inScope(batch, this.#scope.turnId);
        this.#observeLag(events);
        if (events.length > 0) await sink.write(events);
        if (isOver) return 'turn_over';
        if (batch.length > 0) continue;
        if (await this.#hasEndedSilently()) return 'closed';
        await sink.beat();
      }
    } finally {
      this.#follower.close();
    }
  }

  /** Of what came while we listened: how old a replayed event is says nothing of us. */
  #observeLag(events: readonly StoredEvent[]): void {
    const last = events.at(-1);
    if (last === undefined || last.header.at < this.#openedAt) return;
    const lagMs = this.#parts.clock.now() - last.header.at;
    this.#parts.metrics.streamLagSeconds.observe(Math.max(0, lagMs) / 1000);
  }

  /** The record ends before the log does. Quiet for a heartbeat after that, the last event is lost or long gone. */
  async #hasEndedSilently(): Promise<boolean> {
    const { key, turnId } = this.#scope;
    if (turnId === null) return false;
    const turn = await this.#parts.records.turns.get(key.tenant, turnId);
    return turn === null || isTerminal(turn.status);
  }
}

export function inScope(
  batch: readonly StoredEvent[],
  turnId: TurnId | null,
): { events: readonly StoredEvent[]; isOver: boolean } {
  if (turnId === null) return { events: batch, isOver: false };
  const end = batch.findIndex(({ header }) => header.turnId === turnId && isTerminalEventType(header.type));
  const reached = end === -1 ? batch : batch.slice(0, end + 1);
  return {
    events: reached.filter(({ header }) => header.turnId === turnId || header.turnId === null),
    isOver: end !== -1,
  };
}
