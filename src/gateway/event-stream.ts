// One stream of events to one client: from the log to a sink, within a scope, until the scope ends,
// the client goes, or we do.

import type { LogKey } from '../contracts/event-log.ts';
import { isTerminalEventType, type StoredEvent } from '../core/event.ts';
import type { TurnId } from '../core/ids.ts';
import type { Gear } from './gateway-parts.ts';
import { LogFollower } from './log-follower.ts';

export type StreamScope = {
  readonly key: LogKey;
  readonly afterSeq: number;
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

export class EventStream {
  readonly #follower: LogFollower;
  readonly #scope: StreamScope;
  readonly #quietMs: number;

  private constructor(follower: LogFollower, scope: StreamScope, quietMs: number) {
    this.#follower = follower;
    this.#scope = scope;
    this.#quietMs = quietMs;
  }

  /** Rejects while there is still time to answer with an error. */
  static async open(
    gear: Pick<Gear, 'log' | 'clock' | 'limits'>,
    scope: StreamScope,
    signal: AbortSignal,
  ): Promise<EventStream> {
    const follower = await LogFollower.open({
      log: gear.log,
      clock: gear.clock,
      key: scope.key,
      afterSeq: scope.afterSeq,
      signal,
      maxWaitingBytes: gear.limits.connectionBufferBytes,
    });
    return new EventStream(follower, scope, gear.limits.heartbeatMs);
  }

  async pump(sink: EventSink): Promise<StreamEnd> {
    try {
      for (;;) {
        const batch = await this.#follower.next(this.#quietMs);
        if (batch === null) return 'closed';
        const { events, isOver } = inScope(batch, this.#scope.turnId);
        if (events.length > 0) await sink.write(events);
        else if (batch.length === 0) await sink.beat();
        if (isOver) return 'turn_over';
      }
    } finally {
      this.#follower.close();
    }
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
