// What must be true of a simulated world, looked at with every write, every event and every step of a
// client (design D4 to D7). Remembers the first thing that was not.

import { isTerminalEventType, type StoredEvent } from '../../core/event.ts';
import type { LogKey } from '../../contracts/event-log.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { SessionRecord } from '../../core/session.ts';
import { isTerminal, type TurnRecord } from '../../core/turn.ts';
import { decodeSnapshot } from './simulated-snapshots.ts';
import type { Trace } from './trace.ts';

export type Client = {
  readonly sessionId: string;
  /** By place, the first at 0. */
  seen: StoredEvent[];
};

type History = { events: StoredEvent[]; highestEpoch: number };

export class Checker {
  readonly sessions = new Map<string, SessionRecord>();
  readonly turns = new Map<string, TurnRecord>();
  readonly clients: Client[] = [];
  readonly #histories = new Map<string, History>();
  readonly #prompts = new Map<string, number>();
  readonly #accepted = new Set<string>();
  /** Their terminal event went with the log and its writer at once: all that may be lost. */
  readonly #excused = new Set<string>();
  readonly #store: SnapshotStore;
  readonly #trace: Trace;
  /** Events that some client may have seen and that are in no log any more. */
  readonly #forgotten = new Set<string>();
  #failure: string | null = null;
  /** Sessions whose events the log has lost, or may have, and that no writer has brought back. */
  readonly #missing = new Set<string>();

  readonly #isWell: (boot: string) => boolean;

  /** `isWell`: of a run of a worker that nothing keeps from going on with the sessions it has. */
  constructor(store: SnapshotStore, trace: Trace, isWell: (boot: string) => boolean) {
    this.#isWell = isWell;
    this.#store = store;
    this.#trace = trace;
  }

  get failure(): string | null {
    return this.#failure;
  }

  fail(problem: string): void {
    if (this.#failure !== null) return;
    this.#failure = problem;
    this.#trace.add('checker', problem);
  }

  onSession(before: SessionRecord | null, after: SessionRecord): void {
    const name = nameOf(after.id);
    this.sessions.set(after.id, after);
    if (before === null) return;
    if (after.epoch < before.epoch) this.fail(`the epoch of ${name} went back from ${before.epoch} to ${after.epoch}`);
    if (before.boot !== null && after.boot !== before.boot && after.epoch <= before.epoch)
      this.fail(`${name} changed hands from ${before.boot} to ${String(after.boot)} in epoch ${after.epoch}`);
    const isTaken = before.worker !== null && before.boot !== null && after.epoch > before.epoch;
    if (isTaken && this.#isWell(before.boot)) this.fail(`${name} was taken from ${before.boot}, which is well`);
    if (after.epoch > before.epoch)
      this.#trace.add('records', `${name} epoch ${after.epoch} of ${String(after.worker)} ${String(after.boot)}`);
    if (after.snapshot?.object !== before.snapshot?.object) void this.#checkCommit(before, after);
  }

  onTurn(before: TurnRecord | null, after: TurnRecord): void {
    const name = nameOf(after.id);
    this.turns.set(after.id, after);
    if (before?.status !== after.status)
      this.#trace.add('records', `turn ${name} ${after.status} ${after.reason ?? ''}`);
    if (before === null) return;
    if (isTerminal(before.status) && before.status !== after.status)
      this.fail(`the end of turn ${name} was changed from ${before.status} to ${after.status}`);
    if (before.startedAt !== null && after.startedAt !== before.startedAt) this.fail(`turn ${name} was started twice`);
  }

  /** A gateway has acknowledged it. */
  accepted(turnId: string): void {
    this.#accepted.add(turnId);
  }

  onPrompt(worker: string, prompt: string): void {
    const runs = (this.#prompts.get(prompt) ?? 0) + 1;
    this.#prompts.set(prompt, runs);
    this.#trace.add(worker, `runs ${prompt.slice(-24)}`);
    // A continuation is a turn of its own, and its prompt says so.
    const turns = [...this.turns.values()].filter((turn) => turn.prompt === prompt).length;
    if (runs > turns) this.fail(`the prompt ${JSON.stringify(prompt.slice(-24))} ran ${runs} times for ${turns} turns`);
  }

  logLost(): void {
    for (const sessionId of this.#histories.keys()) this.#missing.add(sessionId);
  }

  onAppended({ sessionId }: LogKey, events: readonly StoredEvent[]): void {
    const history = this.#histories.get(sessionId) ?? { events: [], highestEpoch: 0 };
    this.#histories.set(sessionId, history);
    for (const event of events) this.#append(history, event);
  }

  #append(history: History, event: StoredEvent): void {
    const { epoch, seq, sessionId, turnId, type } = event.header;
    const name = `${nameOf(sessionId)} ${epoch}.${seq} ${type} ${turnId === null ? '' : nameOf(turnId)}`;
    this.#trace.add('log', name);
    const known = history.events[seq - 1];
    if (known !== undefined) {
      if (known.header.checksum === event.header.checksum && known.header.epoch === epoch) {
        if (seq === history.events.length) this.#missing.delete(sessionId);
        return;
      }
      if (!this.#missing.has(sessionId)) this.fail(`${name} was written over an event of epoch ${known.header.epoch}`);
      this.#forgetFrom(history, seq, epoch);
    }
    this.#missing.delete(sessionId);
    if (seq !== history.events.length + 1) this.fail(`${name} was written where ${history.events.length + 1} belongs`);
    if (epoch < history.highestEpoch) this.fail(`${name} was written after epoch ${history.highestEpoch} had begun`);
    const record = this.sessions.get(sessionId);
    if (record !== undefined && record.epoch < epoch) this.fail(`${name} was written before its epoch was recorded`);
    history.highestEpoch = Math.max(history.highestEpoch, epoch);
    if (isTerminalEventType(type)) this.#checkEnd(history, event, name);
    history.events.push(event);
  }

  /** The log lost them, and so did the writer that could have brought them back. */
  #forgetFrom(history: History, seq: number, epoch: number): void {
    for (const event of history.events.slice(seq - 1)) {
      const { header } = event;
      if (header.epoch >= epoch) this.fail(`event ${seq} of epoch ${header.epoch} was written twice in it`);
      if (header.turnId !== null) this.#excused.add(header.turnId);
      this.#forgotten.add(placeOf(event));
    }
    history.events = history.events.slice(0, seq - 1);
  }

  #checkEnd(history: History, { header }: StoredEvent, name: string): void {
    const turn = header.turnId === null ? undefined : this.turns.get(header.turnId);
    if (turn === undefined) return this.fail(`${name} ends a turn that nobody knows`);
    if (`turn.${turn.status}` !== header.type) this.fail(`${name} was told while the record said ${turn.status}`);
    const isSecond = history.events.some(
      (one) => one.header.turnId === turn.id && isTerminalEventType(one.header.type),
    );
    if (isSecond) this.fail(`${name} is a second end of its turn`);
    if (turn.status === 'completed') void this.#checkKept(turn);
  }

  async #checkKept(turn: TurnRecord): Promise<void> {
    const words = await this.#wordsOf(this.sessions.get(turn.sessionId));
    if (!words.includes(`done ${turn.prompt}`))
      this.fail(`turn ${nameOf(turn.id)} was told as completed and is not kept`);
  }

  async #checkCommit(before: SessionRecord, after: SessionRecord): Promise<void> {
    const [old, now] = await Promise.all([this.#wordsOf(before), this.#wordsOf(after)]);
    if (old.some((word, at) => now[at] !== word))
      this.fail(`a commit of ${nameOf(after.id)} left out what was committed`);
    if ((after.snapshot?.lastSeq ?? 0) < (before.snapshot?.lastSeq ?? 0))
      this.fail(`a commit of ${nameOf(after.id)} sealed less than the one before it`);
  }

  async #wordsOf(session: SessionRecord | undefined): Promise<readonly string[]> {
    if (session === undefined || session.snapshot === null) return [];
    try {
      const key = { tenant: session.tenant, sessionId: session.id };
      return decodeSnapshot(await this.#store.read(key, session.snapshot.object)).words;
    } catch {
      this.fail(`the snapshot ${session.snapshot.object} of ${nameOf(session.id)} is not whole`);
      return [];
    }
  }

  delivered(client: Client, event: StoredEvent): void {
    const { epoch, seq } = event.header;
    const { seen, sessionId } = client;
    const name = `${nameOf(sessionId)} ${epoch}.${seq}`;
    const history = this.#histories.get(sessionId)?.events ?? [];
    if (this.#forgotten.has(placeOf(event))) {
      // On its way while the log lost it. What comes instead is of a later epoch.
    } else if (!isSame(history[seq - 1], event)) {
      this.fail(`a client was given ${name}, which is not what the log holds`);
    }
    const known = seen[seq - 1];
    if (seq > seen.length + 1) this.fail(`a client at ${seen.length} was given ${name}`);
    else if (known !== undefined) {
      const isAgreed = seen.slice(0, seq - 1).every((one, at) => isSame(one, history[at]));
      if (known.header.epoch >= epoch) this.fail(`a client was given ${name} though it had it`);
      else if (!isAgreed) this.fail(`a client was taken back to ${name}, behind the place where the log parts`);
    }
    client.seen = [...seen.slice(0, seq - 1), event];
  }

  /** What is still owed; empty once everything has come to rest. */
  owed(): string[] {
    const owed: string[] = [];
    for (const turn of this.turns.values()) {
      const name = `turn ${nameOf(turn.id)}`;
      const events = this.#histories.get(turn.sessionId)?.events ?? [];
      const ends = events.filter(({ header }) => header.turnId === turn.id && isTerminalEventType(header.type)).length;
      const wasRefused = turn.status === 'failed' && turn.startedAt === null && turn.reason === null;
      if (!isTerminal(turn.status)) owed.push(`${name} is ${turn.status}`);
      else if (wasRefused && this.#accepted.has(turn.id)) owed.push(`${name} was acknowledged and then refused`);
      else if (ends !== 1 && !wasRefused && !this.#excused.has(turn.id))
        owed.push(`${name} has ${ends} terminal events`);
    }
    for (const turnId of this.#accepted)
      if (!this.turns.has(turnId)) owed.push(`turn ${nameOf(turnId)} was acknowledged and has no record`);
    for (const { seen, sessionId } of this.clients) {
      const events = this.#histories.get(sessionId)?.events ?? [];
      // At rest nobody brings back what lies behind the last snapshot: the next writer goes on without it.
      if (this.#missing.has(sessionId)) continue;
      if (seen.length !== events.length || !seen.every((event, at) => isSame(event, events[at])))
        owed.push(`a client of ${nameOf(sessionId)} has ${describe(seen, events)}`);
    }
    for (const { id, untold } of this.sessions.values())
      if (untold.length > 0) owed.push(`session ${nameOf(id)} has untold turns`);
    return owed;
  }
}

/** Where what a client has seen parts from the log. */
function describe(seen: readonly StoredEvent[], events: readonly StoredEvent[]): string {
  const at = events.findIndex((event, index) => !isSame(seen[index], event));
  const [mine, its] = [seen[at]?.header, events[at]?.header];
  return `${seen.length} events of ${events.length}; at ${at + 1} ${mine?.epoch} ${mine?.type}, the log ${its?.epoch} ${its?.type}`;
}

function placeOf({ header }: StoredEvent): string {
  return `${header.sessionId} ${header.epoch}.${header.seq} ${header.checksum}`;
}

function isSame(one: StoredEvent | undefined, other: StoredEvent | undefined): boolean {
  return one !== undefined && other !== undefined && placeOf(one) === placeOf(other);
}

function nameOf(id: string): string {
  return id.slice(-6).replace(/^0+/, '');
}
