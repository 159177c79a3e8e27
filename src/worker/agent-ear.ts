// What a session's Codex says: as events into the session's log, and as the state of the turn that runs.
// Between turns it is about the session alone. Decides nothing.

import type { AgentNotification } from '../codex/agent-process.ts';
import type { Clock } from '../core/clock.ts';
import type { EventDraft } from '../core/event.ts';
import type { SessionId } from '../core/ids.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Turn } from '../protocol/generated/v2/Turn.ts';
import { TurnTranslator } from '../protocol/translate.ts';
import type { SessionWriter } from './session-writer.ts';
import type { TurnTrace } from './turn-trace.ts';

export type AgentEarOptions = {
  readonly sessionId: SessionId;
  readonly writer: SessionWriter;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'timeToFirstEventSeconds'>;
};

export type HeardTurn = {
  readonly translator: TurnTranslator;
  /** Resolves when Codex has said how the turn ended. */
  readonly codexEnded: Promise<void>;
};

export class AgentEar {
  readonly #options: AgentEarOptions;
  #translator: TurnTranslator;
  #onCodexEnded: () => void = () => {};
  /** The turn that has not shown anything yet. */
  #expecting: TurnRecord | null = null;
  #trace: TurnTrace | null = null;
  #lastHeardMs = 0;
  #boundary = Promise.withResolvers<void>();

  constructor(options: AgentEarOptions) {
    this.#options = options;
    this.#translator = this.#translatorFor(null);
  }

  /** Monotonic: when Codex last said anything, or a turn began. */
  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** Resolves when the next item has come to its end: what was done until then is whole. */
  nextBoundary(): Promise<void> {
    return this.#boundary.promise;
  }

  hear(notification: AgentNotification, line: string): void {
    const { clock, writer } = this.#options;
    this.#lastHeardMs = clock.monotonicMs();
    for (const draft of this.#translator.feed(notification, line)) {
      writer.write(draft);
      this.#trace?.hear(draft);
      if (this.#expecting !== null && isOfTheAgent(draft)) this.#firstEvent(this.#expecting);
      if (draft.type === 'item.completed' && isOfTheAgent(draft)) this.#reachBoundary();
    }
    if (this.#translator.outcome !== null) this.#onCodexEnded();
  }

  /** Takes Codex's account of the turn for what was not heard of it. */
  catchUp(threadId: string, turn: Turn): void {
    const answers =
      this.#translator.finalMessage === '' ? turn.items.filter(({ type }) => type === 'agentMessage') : [];
    for (const item of answers) this.#hearAgain('item/completed', { threadId, turnId: turn.id, item });
    this.#hearAgain('turn/completed', { threadId, turn: { ...turn, items: [] } });
  }

  #hearAgain(method: string, params: unknown): void {
    this.hear({ method, params }, JSON.stringify({ method, params }));
  }

  beginTurn(turn: TurnRecord, trace: TurnTrace | null = null): HeardTurn {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#translator = this.#translatorFor(turn);
    this.#onCodexEnded = resolve;
    this.#expecting = turn;
    this.#trace = trace;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    return { translator: this.#translator, codexEnded: promise };
  }

  /** What is said from now on is of no turn: its terminal event is the last one that names it. */
  endTurn(): void {
    this.#translator = this.#translatorFor(null);
    this.#onCodexEnded = () => {};
    this.#trace = null;
    this.#expecting = null;
  }

  #reachBoundary(): void {
    this.#boundary.resolve();
    this.#boundary = Promise.withResolvers<void>();
  }

  #firstEvent(turn: TurnRecord): void {
    this.#expecting = null;
    const { clock, metrics } = this.#options;
    metrics.timeToFirstEventSeconds.observe(Math.max(0, clock.now() - turn.createdAt) / 1000);
  }

  #translatorFor(turn: TurnRecord | null): TurnTranslator {
    return new TurnTranslator({ sessionId: this.#options.sessionId, turnId: turn?.id ?? null });
  }
}

/** Not the prompt, which Codex repeats as the first item. */
function isOfTheAgent({ type, fields }: EventDraft): boolean {
  return type.startsWith('item.') && (fields['item'] as { type?: unknown } | undefined)?.type !== 'user_message';
}
