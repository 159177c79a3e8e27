// A worker without a Codex: it takes turns and writes their events to the log as a worker would, as
// told by the prompt. `say N`: N deltas and done. `hold`: runs until released or cancelled.

import type { EventLog } from '../contracts/event-log.ts';
import type { Records } from '../contracts/records.ts';
import type {
  CommandRequest,
  CommandResult,
  SessionKey,
  StartOptions,
  TurnKey,
  WorkerLink,
  WorkerStatus,
} from '../contracts/worker-link.ts';
import { type Clock, toTimestamp } from '../core/clock.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import { formatCursor, type StoredEvent } from '../core/event.ts';
import type { SessionStatus } from '../core/session.ts';
import { endedTurn, exitCode, isTerminal, startedTurn, type TerminalStatus, type TurnRecord } from '../core/turn.ts';
import { noUsage } from '../core/usage.ts';

type Parts = { readonly clock: Clock; readonly log: EventLog; readonly records: Records };

export class ScriptedWorker implements WorkerLink {
  readonly #parts: Parts;
  readonly #seqs = new Map<string, number>();
  readonly #held = new Map<string, () => void>();
  readonly #tails = new Map<string, Promise<unknown>>();
  /** Turns taken and not yet over, by session. */
  readonly #open = new Map<string, Set<string>>();
  /** Every turn that was taken, once. */
  readonly taken: string[] = [];
  /** Every text that was given to a running turn, once. */
  readonly steered: { readonly turnId: string; readonly steerId: string; readonly text: string }[] = [];
  readonly settledApprovals: string[] = [];
  readonly recovered: string[] = [];
  readonly commands: CommandRequest[] = [];
  /** The next turns are refused with this. */
  refuseWith: ErrorCode | null = null;
  state: WorkerStatus['state'] = 'ready';

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async startTurn(key: TurnKey, options: StartOptions = {}): Promise<void> {
    if (this.refuseWith !== null) throw new ServiceError(this.refuseWith);
    if (this.taken.includes(key.turnId)) return;
    const open = this.#open.get(key.sessionId) ?? new Set<string>();
    if (options.onlyIfIdle === true && open.size > 0) throw new ServiceError('session_busy');
    this.taken.push(key.turnId);
    this.#open.set(key.sessionId, open.add(key.turnId));
    const before = this.#tails.get(key.sessionId) ?? Promise.resolve();
    const over = before.then(() => this.#run(key)).finally(() => open.delete(key.turnId));
    this.#tails.set(key.sessionId, over);
  }

  async cancelTurn(key: TurnKey): Promise<void> {
    const turn = await this.#turn(key);
    if (isTerminal(turn.status)) throw new ServiceError('turn_ended');
    await this.#end(turn, 'cancelled', '');
    this.release(key.turnId);
  }

  /** A turn of the prompt `hold` takes all that it is given, until it is released. */
  async steerTurn(key: TurnKey, steerId: string, text: string): Promise<void> {
    const turn = await this.#turn(key);
    if (turn.status !== 'running' || !this.#held.has(turn.id)) throw new ServiceError('turn_not_running');
    if (this.steered.some((steer) => steer.steerId === steerId)) return;
    const steer = { id: steerId, text, at: this.#parts.clock.now() };
    this.steered.push({ turnId: turn.id, steerId, text });
    const written = await this.#parts.records.turns.replace({ ...turn, steers: [...turn.steers, steer] });
    if (written === null) throw new ServiceError('turn_not_running');
  }

  async approvalSettled(_key: SessionKey, approvalId: string): Promise<void> {
    this.settledApprovals.push(approvalId);
  }

  async hibernateSession(key: SessionKey): Promise<void> {
    if ((this.#open.get(key.sessionId)?.size ?? 0) > 0) throw new ServiceError('session_busy');
    await this.#setStatus(key, 'hibernated');
  }

  async wakeSession(key: SessionKey): Promise<void> {
    await this.#setStatus(key, 'idle');
  }

  async recoverSession(key: SessionKey): Promise<void> {
    this.recovered.push(key.sessionId);
  }

  async runCommand(request: CommandRequest): Promise<CommandResult> {
    this.commands.push(request);
    return { exitCode: 0, stdout: request.command.join(' '), stderr: '', executionTimeMs: 1 };
  }

  async eraseSession(_key: SessionKey): Promise<void> {}

  async status(): Promise<WorkerStatus> {
    return {
      id: 'worker-0',
      state: this.state,
      slots: { limit: 2, starting: 0, idle: 1, bound: 1 },
      busySessions: 0,
      waitingTurns: 0,
      isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'bubblewrap', innerSandboxProblem: null },
      codexVersion: '0.0.0',
      startedAt: 0,
    };
  }

  /** Lets a turn of the prompt `hold` end. */
  release(turnId: string): void {
    this.#held.get(turnId)?.();
    this.#held.delete(turnId);
  }

  /** Resolves when all that was taken has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#tails.values());
  }

  async emit(
    key: SessionKey,
    turnId: string | null,
    type: string,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.emitAll(key, turnId, [{ type, fields }]);
  }

  async emitAll(
    key: SessionKey,
    turnId: string | null,
    drafts: readonly {
      readonly type: string;
      readonly fields: Readonly<Record<string, unknown>>;
      readonly raw?: string;
    }[],
  ): Promise<void> {
    const at = this.#parts.clock.now();
    const first = (this.#seqs.get(key.sessionId) ?? 0) + 1;
    this.#seqs.set(key.sessionId, first + drafts.length - 1);
    const events = drafts.map(({ type, fields, raw = null }, index): StoredEvent => {
      const seq = first + index;
      const envelope = {
        seq,
        cursor: formatCursor({ epoch: 1, seq }),
        type,
        session_id: key.sessionId,
        turn_id: turnId,
      };
      const body = JSON.stringify({ ...envelope, at: toTimestamp(at), ...fields });
      const header = { tenant: key.tenant, sessionId: key.sessionId, turnId, epoch: 1, seq, type, at, checksum: seq };
      return { version: 1, header, body, raw };
    });
    await this.#parts.log.append({ tenant: key.tenant, sessionId: key.sessionId }, 1, events);
  }

  async #run(key: TurnKey): Promise<void> {
    const queued = await this.#turn(key);
    const started = startedTurn(queued, this.#parts.clock.now());
    if (started === null) return;
    const turn = await this.#parts.records.turns.replace(started);
    if (turn === null) return;
    if (!this.#seqs.has(key.sessionId)) await this.emit(key, null, 'session.created', {});
    await this.emit(key, turn.id, 'turn.started', {});
    const [verb = '', count = '1'] = turn.prompt.split(' ');
    if (verb === 'hold') await new Promise<void>((resolve) => this.#held.set(turn.id, resolve));
    const words = verb === 'say' ? Number(count) : 0;
    for (let index = 0; index < words; index += 1) {
      await this.emit(key, turn.id, 'item.delta', { item_id: `${turn.id}-0`, delta: `${turn.prompt}#${index} ` });
      if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const text = `answer to ${turn.prompt}`;
    const current = await this.#turn(key);
    if (isTerminal(current.status)) return;
    await this.emit(key, turn.id, 'item.completed', { item: { id: `${turn.id}-0`, type: 'agent_message', text } });
    await this.#end(current, verb === 'fail' ? 'failed' : 'completed', verb === 'fail' ? '' : text);
  }

  /** The record first, then the event: as the contract has it. */
  async #end(turn: TurnRecord, status: TerminalStatus, finalMessage: string): Promise<void> {
    const error = status === 'completed' ? null : { code: `turn_${status}`, message: `it was ${status}` };
    const ended = endedTurn(
      turn,
      { status, reason: null, finalMessage, error, usage: noUsage },
      this.#parts.clock.now(),
    );
    if (ended === null || (await this.#parts.records.turns.replace(ended)) === null) return;
    const key = { tenant: turn.tenant, sessionId: turn.sessionId };
    await this.emit(key, turn.id, `turn.${status}`, {
      status,
      reason: null,
      exit_code: exitCode(status),
      stdout: finalMessage,
      stderr: error?.message ?? '',
      error,
    });
  }

  async #setStatus({ tenant, sessionId }: SessionKey, status: SessionStatus): Promise<void> {
    const session = await this.#parts.records.sessions.get(tenant, sessionId);
    if (session !== null) await this.#parts.records.sessions.replace({ ...session, status });
  }

  async #turn(key: TurnKey): Promise<TurnRecord> {
    const turn = await this.#parts.records.turns.get(key.tenant, key.turnId);
    if (turn === null) throw new ServiceError('turn_not_found');
    return turn;
  }
}
