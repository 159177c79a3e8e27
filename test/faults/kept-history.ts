// What clients remember of a fleet that dies under them: the turns they were told of, every event they
// saw, what the model was shown. Asks again until it is answered, and holds all of it against the checks.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { EventOnWire } from '../../src/api/events.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
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
import type { FleetClient } from '../e2e/fleet-client.ts';

/** Through several deaths and starts, on a machine that does other things. */
const acceptedWithinMs = 150_000;
const endedWithinMs = 120_000;
const whileDeadMs = 20;
/** A turn that a client did not spoil ends in no other way, however often the fleet dies. */
const diedOrDone: readonly string[] = ['completed', 'interrupted'];

/** A fleet that may die at any moment, and is started again. */
export type FleetAtRisk = {
  /** Of the life that runs, or ran last; of any gateway where there are several. */
  readonly client: FleetClient;
  readonly isReady: boolean;
  /** Grows with each life: what failed in an earlier one means nothing. */
  readonly starts: number;
};

export type ReadAgain = {
  readonly problems: readonly string[];
  readonly ends: Readonly<Record<string, number>>;
  /** Those that were asked for, and those that go on with an interrupted one. */
  readonly turns: readonly TurnResource[];
};

export class KeptHistory {
  readonly turns: AcceptedTurn[] = [];
  readonly seen: EventText[] = [];
  /** When what was seen of a session last grew, by this process's clock. */
  readonly lastSeenAtMs = new Map<string, number>();
  readonly #fleet: FleetAtRisk;
  readonly #oracle: OracleModel;
  readonly #mayEnd: (turn: TurnResource) => boolean;
  readonly #lastCursors = new Map<string, string>();
  readonly #names = new Set<string>();
  #isOver = false;

  /** `mayEnd`: how turns may end beside being completed or interrupted. */
  constructor(fleet: FleetAtRisk, oracle: OracleModel, mayEnd: (turn: TurnResource) => boolean = () => false) {
    this.#fleet = fleet;
    this.#oracle = oracle;
    this.#mayEnd = mayEnd;
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

  /** null, after a moment, when the fleet died meanwhile or is not there. */
  async whileItLives<T>(ask: (client: FleetClient) => Promise<T>): Promise<T | null> {
    const { starts } = this.#fleet;
    try {
      return await ask(this.#fleet.client);
    } catch (error) {
      const isDead = this.#isOver || !this.#fleet.isReady || this.#fleet.starts !== starts;
      if (!isDead && !isConnectionLost(error) && !isStoreAway(error)) throw error;
      // Whoever asks at once again would leave nobody the time to start it.
      await new Promise((resolve) => setTimeout(resolve, whileDeadMs));
      return null;
    }
  }

  /** Follows a session from where it was left, until the fleet dies. */
  async watch(sessionId: string): Promise<void> {
    await this.whileItLives(async (client) => {
      const lastEventId = this.#lastCursors.get(sessionId);
      const options = lastEventId === undefined ? {} : { lastEventId };
      for await (const { data, event } of client.sse(`/api/v1/sessions/${sessionId}/events`, options)) {
        // Why the stream ends: it has no place in the session.
        if (event === 'error') return;
        this.#saw([data]);
        this.lastSeenAtMs.set(data.session_id, Date.now());
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
    const turns: TurnResource[] = [];
    const events = new Map<string, EventOnWire[]>();
    for (const sessionId of new Set(this.turns.map((turn) => turn.sessionId))) {
      const ended = await this.#endedTurns(sessionId);
      turns.push(...ended);
      events.set(sessionId, await this.#terminalsIn(sessionId, ended));
    }
    const asked = new Set(this.turns.map(({ turnId }) => turnId));
    const goingOn = turns.filter(({ id, continues }) => !asked.has(id) && continues !== null);
    const nobodys = turns.filter(({ id, continues }) => !asked.has(id) && continues === null);
    const ends: Record<string, number> = {};
    for (const { status } of turns) ends[status] = (ends[status] ?? 0) + 1;
    return {
      turns,
      ends,
      problems: [
        ...nobodys.map(({ id }) => `nobody was told of turn ${id}`),
        ...turns.filter((turn) => !diedOrDone.includes(turn.status) && !this.#mayEnd(turn)).map(endInWords),
        ...[...events.values()]
          .flat()
          .filter(({ type }) => type === 'session.restored')
          .map(restoredInWords),
        ...exactlyOneTerminal(
          [...this.turns, ...goingOn.map(toldTurn)],
          events,
          turns.map(({ id, status }) => ({ turnId: id, status })),
        ),
        ...seqsAreGapless(events),
        ...epochsNeverDecrease(events),
        ...reReadsByteIdentical(this.seen, [...events.values()].flatMap(textsOf)),
        ...this.#promptsRunTwice(goingOn),
      ],
    };
  }

  /** All turns that go on say the same words: as many may run as there are. */
  #promptsRunTwice(goingOn: readonly TurnResource[]): string[] {
    const prompts = new Map(goingOn.map((turn) => [turn.prompt, toldTurn(turn)]));
    const more = new Map([...prompts.keys()].map((prompt) => [prompt, countOf(goingOn, prompt) - 1]));
    return promptsAtMostOnce(this.#oracle.calls, [...this.turns, ...prompts.values()], more);
  }

  async #endedTurns(sessionId: string): Promise<TurnResource[]> {
    return await eventually(`every turn of ${sessionId} ends`, endedWithinMs, async () => {
      const turns = await this.#turnsOf(sessionId);
      return turns.every((turn) => turn.ended_at !== null) ? turns : null;
    });
  }

  async #turnsOf(sessionId: string): Promise<TurnResource[]> {
    const turns: TurnResource[] = [];
    for (let after = ''; ; ) {
      const path = `/api/v1/sessions/${sessionId}/turns?limit=100${after === '' ? '' : `&after=${after}`}`;
      const { body, status, text } = await this.#fleet.client.request<ListOf<TurnResource>>('GET', path);
      assert.equal(status, 200, text);
      turns.push(...body.data);
      if (!body.has_more || body.last_id === null) return turns;
      after = body.last_id;
    }
  }

  /** A turn's record may say that it has ended a moment before the log does. */
  async #terminalsIn(sessionId: string, turns: readonly TurnResource[]): Promise<EventOnWire[]> {
    let events: EventOnWire[] = [];
    await eventually('each turn has its last event', 5_000, async () => {
      events = await this.#fleet.client.pages(sessionId);
      const told = new Set(events.filter(({ type }) => isTerminalEventType(type)).map((event) => event.turn_id));
      return turns.every(({ id }) => told.has(id));
    }).catch(() => undefined); // The check says which has none.
    return events;
  }

  #saw(events: readonly EventOnWire[]): void {
    this.seen.push(...textsOf(events));
  }
}

function endInWords({ error, id, reason, status }: TurnResource): string {
  return `turn ${id} is ${status}: ${JSON.stringify({ reason, error })}`;
}

function restoredInWords(event: EventOnWire): string {
  return `nothing was damaged, and something was given up: ${JSON.stringify(event)}`;
}

function toldTurn({ id, prompt, session_id: sessionId }: TurnResource): AcceptedTurn {
  return { sessionId, turnId: id, prompt };
}

function countOf(turns: readonly TurnResource[], prompt: string): number {
  return turns.filter((turn) => turn.prompt === prompt).length;
}

function textsOf(events: readonly EventOnWire[]): EventText[] {
  return events.map((event) => ({ sessionId: event.session_id, seq: event.seq, text: JSON.stringify(event) }));
}

/** fetch says it so, whatever happened on the way. */
function isConnectionLost(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof DOMException && error.name === 'TimeoutError');
}

/** Refused in words, as a gateway does that is cut off from a store: what was asked is asked again. */
function isStoreAway(error: unknown): boolean {
  return error instanceof assert.AssertionError && error.message.includes('"code":"store_unavailable"');
}
