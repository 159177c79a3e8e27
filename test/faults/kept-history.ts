// What clients remember of a fleet that dies under them: the turns they were told of, every event they
// saw, what the model was shown. Asks again until it is answered, and holds all of it against the checks.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { EventOnWire } from '../../src/api/events.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import {
  epochsNeverDecrease,
  exactlyOneTerminal,
  promptsAtMostOnce,
  reReadsByteIdentical,
  seqsAreGapless,
  type AcceptedTurn,
  type EventText,
} from '../../src/testing/faults/history-checks.ts';
import type { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { eventually } from '../e2e/eventually.ts';
import type { RunningFleet } from './running-fleet.ts';

const acceptedWithinMs = 60_000;
const endedWithinMs = 60_000;

export type ReadAgain = { readonly problems: readonly string[]; readonly ends: Readonly<Record<string, number>> };

export class KeptHistory {
  readonly turns: AcceptedTurn[] = [];
  readonly seen: EventText[] = [];
  readonly #fleet: RunningFleet;
  readonly #oracle: OracleModel;
  readonly #lastCursors = new Map<string, string>();
  readonly #names = new Set<string>();
  #isOver = false;

  constructor(fleet: RunningFleet, oracle: OracleModel) {
    this.#fleet = fleet;
    this.#oracle = oracle;
  }

  /** Sends a prompt, with its key, as often as it takes: the fleet may die before, during and after. */
  async send(prompt: string, sessionId: string, more: Readonly<Record<string, unknown>> = {}): Promise<AcceptedTurn> {
    const body = { prompt, session_id: sessionId, background: true, ...more };
    const key = createHash('sha256').update(`${sessionId}\n${prompt}`).digest('hex');
    const answer = await eventually(`${JSON.stringify(prompt)} is accepted`, acceptedWithinMs, async () => {
      if (this.#isOver) throw new Error('nobody waits for it any more');
      const said = await this.whileItLives((client) => client.exec(body, { 'idempotency-key': key }));
      // Not there, or on its way out or up: asked again. Anything else is an answer.
      return said === null || said.status === 503 || said.status === 502 ? null : said;
    });
    // A repetition of a turn that has ended is answered 200.
    assert.ok(answer.status === 202 || answer.status === 200, answer.text);
    const turn = { sessionId: answer.body.session_id, turnId: answer.body.turn_id, prompt };
    this.turns.push(turn);
    this.#names.add(sessionId);
    return turn;
  }

  /** Whether a turn of it was accepted: before, there may be nothing to look at. */
  has(sessionId: string): boolean {
    return this.#names.has(sessionId);
  }

  /** Whoever still asks stops asking: the test has failed, or has all that it wants. */
  [Symbol.dispose](): void {
    this.#isOver = true;
  }

  /** null when the fleet died meanwhile, or is not there. */
  async whileItLives<T>(ask: (client: RunningFleet['client']) => Promise<T>): Promise<T | null> {
    const { starts } = this.#fleet;
    try {
      return await ask(this.#fleet.client);
    } catch (error) {
      const isDead = this.#isOver || !this.#fleet.isReady || this.#fleet.starts !== starts;
      if (isDead || isConnectionLost(error)) return null;
      throw error;
    }
  }

  /** Follows a session from where it was left, until the fleet dies. */
  async watch(sessionId: string): Promise<void> {
    await this.whileItLives(async (client) => {
      const lastEventId = this.#lastCursors.get(sessionId);
      const options = lastEventId === undefined ? {} : { lastEventId };
      for await (const { data } of client.sse(`/api/v1/sessions/${sessionId}/events`, options)) {
        this.#saw([data]);
        this.#lastCursors.set(sessionId, data.cursor);
      }
    });
  }

  /** Reads all there is of a session, to be held against what is read later. */
  async look(sessionId: string): Promise<void> {
    this.#saw((await this.whileItLives((client) => client.pages(sessionId))) ?? []);
  }

  /** Waits for every turn's end; what was wrong, by every check. */
  async settle(): Promise<ReadAgain> {
    const { client } = this.#fleet;
    const ended: TurnResource[] = [];
    for (const { sessionId, turnId } of this.turns)
      ended.push(await client.turnEnded(sessionId, turnId, endedWithinMs));
    const events = new Map<string, EventOnWire[]>();
    for (const { sessionId } of this.turns) {
      if (!events.has(sessionId)) events.set(sessionId, await this.#terminalsIn(sessionId));
    }
    const again = [...events.values()].flatMap(textsOf);
    const ends: Record<string, number> = {};
    for (const { status } of ended) ends[status] = (ends[status] ?? 0) + 1;
    return {
      ends,
      problems: [
        ...exactlyOneTerminal(
          this.turns,
          events,
          ended.map(({ id, status }) => ({ turnId: id, status })),
        ),
        ...seqsAreGapless(events),
        ...epochsNeverDecrease(events),
        ...reReadsByteIdentical(this.seen, again),
        ...promptsAtMostOnce(this.#oracle.calls, this.turns),
      ],
    };
  }

  /** A turn's record may say that it has ended a moment before the log does. */
  async #terminalsIn(sessionId: string): Promise<EventOnWire[]> {
    const own = this.turns.filter((turn) => turn.sessionId === sessionId);
    let events: EventOnWire[] = [];
    await eventually('each turn has its last event', 5_000, async () => {
      events = await this.#fleet.client.pages(sessionId);
      return own.every(({ turnId }) => events.some((event) => event.turn_id === turnId && 'exit_code' in event));
    }).catch(() => undefined); // The check says which has none.
    return events;
  }

  #saw(events: readonly EventOnWire[]): void {
    this.seen.push(...textsOf(events));
  }
}

function textsOf(events: readonly EventOnWire[]): EventText[] {
  return events.map((event) => ({ sessionId: event.session_id, seq: event.seq, text: JSON.stringify(event) }));
}

/** fetch says it so, whatever happened on the way. */
function isConnectionLost(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof DOMException && error.name === 'TimeoutError');
}
