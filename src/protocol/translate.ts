// Codex's notifications as events of a session's log: exactly one public event for each, and `item.superseded`
// of our own where a retried answer begins anew. Remembers what the turn came to; decides nothing.

import type { EventDraft } from '../core/event.ts';
import type { SessionId, TurnId } from '../core/ids.ts';
import type { TurnError } from '../core/turn.ts';
import type { Usage } from '../core/usage.ts';
import { cutText, fitJson } from './cut.ts';
import type { ServerNotification } from './generated/ServerNotification.ts';
import type { ErrorNotification } from './generated/v2/ErrorNotification.ts';
import type { ThreadItem } from './generated/v2/ThreadItem.ts';
import type { Turn } from './generated/v2/Turn.ts';
import { toPublicItem, toSnakeCase } from './items.ts';
import { toTurnFailure } from './turn-error.ts';
import { TurnUsage } from './turn-usage.ts';

/** An event is at most 256 KiB; the envelope and the fields around the cut part take the rest. */
const maxPartBytes = 255 * 1024;
/** Of one command's output, in deltas: one that prints without end must not fill the log. Later deltas are empty. */
const maxOutputUnits = 1024 * 1024;
/** Even as control characters (six bytes each when escaped) such a delta fits an event. */
const maxDeltaUnits = 40 * 1024;

export type DeltaKind = 'agent_message' | 'reasoning' | 'reasoning_summary' | 'command_output' | 'file_change' | 'plan';

/** What Codex said of the end of its turn. */
export type CodexOutcome = {
  readonly status: 'completed' | 'failed' | 'interrupted';
  readonly error: TurnError | null;
};

/** As parsed: a method that this version does not know is possible, and becomes a `codex.*` event. */
export type Notification = { readonly method: string; readonly params?: unknown };

export class TurnTranslator {
  readonly #sessionId: SessionId;
  readonly #turnId: TurnId | null;
  readonly #usage = new TurnUsage();
  /** Streamed answers that have begun and not ended: void when Codex asks the model again. */
  readonly #openAnswers = new Map<string, 'agent_message' | 'reasoning'>();
  /** By command that runs: what its deltas have held so far. */
  readonly #outputUnits = new Map<string, number>();
  #codexTurnId: string | null = null;
  #outcome: CodexOutcome | null = null;
  #finalAnswer: string | null = null;
  #lastMessage: string | null = null;
  #transcriptProblem: string | null = null;

  /** `turnId` null: for what is said of the session between turns. */
  constructor(of: { readonly sessionId: SessionId; readonly turnId: TurnId | null }) {
    this.#sessionId = of.sessionId;
    this.#turnId = of.turnId;
  }

  /** Codex's own id of the turn, once it has started: what `turn/interrupt` needs. */
  get codexTurnId(): string | null {
    return this.#codexTurnId;
  }

  /** null until Codex says that the turn has ended. */
  get outcome(): CodexOutcome | null {
    return this.#outcome;
  }

  /** Of this turn, so far. */
  get usage(): Usage {
    return this.#usage.current;
  }

  /** The last completed message of the agent, the one it marked as its answer before any other. */
  get finalMessage(): string {
    return this.#finalAnswer ?? this.#lastMessage ?? '';
  }

  /** Codex could not write the rollout: the turn it will call completed is not saved (a full disk, mostly). */
  get transcriptProblem(): string | null {
    return this.#transcriptProblem;
  }

  feed(notification: Notification, line: string): EventDraft[] {
    const { method, params } = notification;
    const threadId = threadOf(params);
    if (threadId !== null && threadId !== this.#sessionId) return [this.#ofCodex(method, params, line, threadId)];
    try {
      return this.#translate(notification as ServerNotification, line);
    } catch (error) {
      // Fields are not as this version has them: the notification is still an event, as it came.
      if (error instanceof TypeError) return [this.#ofCodex(method, params, line)];
      throw error;
    }
  }

  #translate(notification: ServerNotification, line: string): EventDraft[] {
    switch (notification.method) {
      case 'item/agentMessage/delta':
        return [this.#delta('agent_message', notification.params, line)];
      case 'item/commandExecution/outputDelta':
        return [this.#delta('command_output', notification.params, line)];
      case 'item/reasoning/textDelta':
        return [this.#delta('reasoning', notification.params, line)];
      case 'item/reasoning/summaryTextDelta':
        return [this.#delta('reasoning_summary', notification.params, line, notification.params.summaryIndex)];
      case 'item/fileChange/outputDelta':
        return [this.#delta('file_change', notification.params, line)];
      case 'item/plan/delta':
        return [this.#delta('plan', notification.params, line)];
      case 'item/started':
        return [this.#itemStarted(notification.params.item, line)];
      case 'item/completed':
        return [this.#itemCompleted(notification.params.item, line)];
      case 'thread/tokenUsage/updated': {
        const { turnId, tokenUsage } = notification.params;
        this.#usage.add(tokenUsage, turnId === this.#codexTurnId);
        return [this.#event('usage.updated', { usage: toWireUsage(this.usage) }, line)];
      }
      case 'turn/plan/updated': {
        const { explanation, plan } = notification.params;
        const steps = plan.map(({ step, status }) => ({ step, status: toSnakeCase(status) }));
        return [this.#fitted('plan.updated', { explanation, plan: steps }, line)];
      }
      case 'turn/diff/updated':
        return [this.#fitted('diff.updated', { diff: notification.params.diff }, line)];
      case 'warning':
      case 'guardianWarning': {
        const { message } = notification.params;
        if (message.startsWith('Failed to save the conversation transcript')) this.#transcriptProblem = message;
        return [this.#fitted('warning', { message, details: null }, line)];
      }
      case 'configWarning':
      case 'deprecationNotice': {
        const { summary, details } = notification.params;
        return [this.#fitted('warning', { message: summary, details }, line)];
      }
      case 'error':
        return this.#error(notification.params, line);
      case 'turn/started':
        this.#codexTurnId ??= notification.params.turn.id;
        break;
      case 'turn/completed':
        this.#turnCompleted(notification.params.turn);
        break;
      default:
        break;
    }
    return [this.#ofCodex(notification.method, notification.params, line)];
  }

  /** The hot path: one object, no measuring, no raw line (a delta is rebuilt from its event, unless it was cut). */
  #delta(kind: DeltaKind, params: { itemId: string; delta: string }, line: string, summaryIndex?: number): EventDraft {
    const { itemId, delta } = params;
    const fields: Record<string, unknown> = { item_id: itemId, kind, delta };
    if (summaryIndex !== undefined) fields['summary_index'] = summaryIndex;
    const room = kind === 'command_output' ? this.#roomFor(itemId, delta.length) : maxDeltaUnits;
    if (delta.length > Math.min(room, maxDeltaUnits)) {
      fields['delta'] = cutText(delta, Math.min(room, maxDeltaUnits));
      fields['truncated'] = true;
    }
    // Past the item's own bound the line is not kept either: a command can print for as long as it likes.
    const isOversize = delta.length > maxDeltaUnits && room > 0;
    return this.#event('item.delta', fields, isOversize ? line : null);
  }

  #roomFor(itemId: string, units: number): number {
    const before = this.#outputUnits.get(itemId) ?? 0;
    this.#outputUnits.set(itemId, before + units);
    return Math.max(0, maxOutputUnits - before);
  }

  #itemStarted(item: ThreadItem, line: string): EventDraft {
    if (item.type === 'agentMessage') this.#openAnswers.set(item.id, 'agent_message');
    if (item.type === 'reasoning') this.#openAnswers.set(item.id, 'reasoning');
    return this.#item('item.started', item, line);
  }

  #itemCompleted(item: ThreadItem, line: string): EventDraft {
    this.#openAnswers.delete(item.id);
    this.#outputUnits.delete(item.id);
    if (item.type === 'agentMessage') {
      this.#lastMessage = item.text;
      if (item.phase === 'final_answer') this.#finalAnswer = item.text;
    }
    return this.#item('item.completed', item, line);
  }

  #item(type: string, source: ThreadItem, line: string): EventDraft {
    const whole = toPublicItem(source);
    // One that is cut here is whole in the line, where GET …/items/{id} finds it.
    const item = fitJson(whole, maxPartBytes, { keep: ['id', 'type', 'status'], sizeHint: line.length });
    return this.#event(type, { item }, line);
  }

  #error(params: ErrorNotification, line: string): EventDraft[] {
    const events = [this.#ofCodex('error', params, line)];
    if (!params.willRetry) return events;
    // 0.169 streams the answer again under new ids and never completes the old items: a client that
    // concatenates deltas would show the text twice.
    for (const [itemId, itemType] of this.#openAnswers) {
      events.push(this.#event('item.superseded', { item_id: itemId, item_type: itemType }, null));
    }
    this.#openAnswers.clear();
    return events;
  }

  #turnCompleted(turn: Turn): void {
    if (this.#codexTurnId !== null && turn.id !== this.#codexTurnId) return;
    if (turn.status === 'inProgress') return;
    this.#outcome = { status: turn.status, error: turn.status === 'failed' ? toTurnFailure(turn.error) : null };
  }

  #ofCodex(method: string, params: unknown, line: string, threadId?: string): EventDraft {
    const fields = { ...(threadId === undefined ? {} : { thread_id: threadId }), params: params ?? null };
    return this.#fitted(`codex.${method.replaceAll('/', '.')}`, fields, line);
  }

  #fitted(type: string, fields: Readonly<Record<string, unknown>>, line: string): EventDraft {
    const fitted = fitJson(fields, maxPartBytes, { keep: ['thread_id'], sizeHint: line.length });
    return this.#event(type, fitted, line);
  }

  #event(type: string, fields: Readonly<Record<string, unknown>>, raw: string | null): EventDraft {
    return { type, turnId: this.#turnId, fields, raw };
  }
}

/** null: the notification is not about a thread. */
function threadOf(params: unknown): string | null {
  if (typeof params !== 'object' || params === null) return null;
  const { threadId, thread } = params as { threadId?: unknown; thread?: { id?: unknown } | null };
  if (typeof threadId === 'string') return threadId;
  return typeof thread?.id === 'string' ? thread.id : null;
}

/** The snake_case usage of every response and event. */
function toWireUsage(usage: Usage): Readonly<Record<string, number | null>> {
  return {
    input_tokens: usage.inputTokens,
    cached_input_tokens: usage.cachedInputTokens,
    output_tokens: usage.outputTokens,
    reasoning_output_tokens: usage.reasoningOutputTokens,
    cost_usd: usage.costUsd,
  };
}
