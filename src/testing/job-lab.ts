// Jobs without a fleet: real records in memory, a clock that a test moves, and turns that start and end when the
// test says so. Each turn remembers how often it was made.

import assert from 'node:assert/strict';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { Outbox } from '../contracts/outbox.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import type { JobRecord, JobRetry } from '../core/job.ts';
import { isTerminal, type TerminalStatus, type TurnRecord, wasNeverTaken } from '../core/turn.ts';
import type { Notice } from '../core/webhook.ts';
import { attemptSessionId, attemptTurnId } from '../manager/jobs/attempt-ids.ts';
import { JobRunner, type JobRunnerParts } from '../manager/jobs/job-runner.ts';
import type { JobTurns } from '../manager/jobs/job-turns.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { FakeClock } from './fake-clock.ts';
import { jobRecord, jobSpec, turnRecord } from './stored-records.ts';

export const jobLabIdOf = (number: number): string => `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;

export class LabTurns implements JobTurns {
  readonly byId = new Map<string, TurnRecord>();
  /** How often each was made anew: more than once is a prompt that ran twice. */
  readonly made = new Map<string, number>();
  /** In the order of their making. */
  readonly order: TurnRecord[] = [];
  readonly continuations = new Map<string, string>();
  starts = 0;
  cancels = 0;
  /** What start answers instead; null: it starts. */
  refusal: (job: JobRecord, attempt: number) => Error | null = () => null;

  async start(job: JobRecord, attempt: number): Promise<TurnRecord> {
    this.starts++;
    const id = attemptTurnId(job, attempt);
    const standing = this.byId.get(id);
    if (standing !== undefined && !wasNeverTaken(standing)) return standing;
    const refusal = this.refusal(job, attempt);
    if (refusal !== null) throw refusal;
    const sessionId = job.spec.sessionRef ?? attemptSessionId(job, attempt);
    const turn = turnRecord({ tenant: job.tenant, id, sessionId, status: 'running', startedAt: 1, jobId: job.id });
    this.made.set(id, (this.made.get(id) ?? 0) + 1);
    this.byId.set(id, turn);
    this.order.push(turn);
    return turn;
  }

  async find(job: JobRecord, attempt: number): Promise<TurnRecord | null> {
    return this.byId.get(attemptTurnId(job, attempt)) ?? null;
  }

  async continuation(turn: TurnRecord): Promise<TurnRecord | null> {
    return this.byId.get(this.continuations.get(turn.id) ?? '') ?? null;
  }

  async cancel(turn: TurnRecord): Promise<void> {
    this.cancels++;
    const now = this.byId.get(turn.id);
    if (now === undefined || isTerminal(now.status)) throw new ServiceError('turn_ended');
    this.end(turn.id, 'cancelled');
  }

  end(id: string, status: TerminalStatus = 'completed', changes: Partial<TurnRecord> = {}): void {
    const turn = this.byId.get(id) ?? assert.fail('no such turn');
    if (isTerminal(turn.status)) return;
    const error = status === 'failed' ? { code: 'turn_failed', message: 'it failed' } : null;
    this.byId.set(id, { ...turn, status, error, finalMessage: status, endedAt: 2, ...changes });
  }

  /** It waited for a slot, in vain. */
  endUnstarted(id: string, code: ErrorCode = 'queue_timed_out'): void {
    const reason = code === 'queue_timed_out' ? 'queue_timeout' : 'crash';
    this.end(id, 'timed_out', { startedAt: null, reason, error: { code, message: 'it never ran' } });
  }

  /** Another turn goes on with that one, which has been interrupted. */
  goOn(id: string, nextId: string): void {
    const turn = this.byId.get(id) ?? assert.fail('no such turn');
    this.byId.set(nextId, { ...turn, id: nextId, continues: id });
    this.continuations.set(id, nextId);
    this.end(id, 'interrupted');
  }

  get running(): readonly TurnRecord[] {
    return [...this.byId.values()].filter(({ status }) => !isTerminal(status));
  }
}

export class JobLab {
  readonly clock = new FakeClock();
  readonly records = new MemoryRecords({ maxJobs: 50_000 });
  readonly turns = new LabTurns();
  readonly metrics = createMetrics();
  readonly logger = createLogger({ level: 'silent', role: 'test' });
  /** In order, each once. */
  readonly told: Notice[] = [];
  readonly outbox: Outbox = {
    put: async (notices) => {
      for (const notice of notices)
        if (!this.told.some(({ identity }) => identity === notice.identity)) this.told.push(notice);
    },
  };
  slots = 100;
  readonly #runners = new Set<JobRunner>();

  runner(changes: Partial<JobRunnerParts> = {}): JobRunner {
    const { clock, logger, metrics, outbox, records, turns } = this;
    const settings = { sharePercent: 50, retainMs: 86_400_000 };
    const slots = async (): Promise<number> => this.slots;
    const parts = { clock, logger, metrics, outbox, records, turns, settings, slots, ...changes };
    const runner = new JobRunner(parts);
    this.#runners.add(runner);
    return runner;
  }

  async running(changes: Partial<JobRunnerParts> = {}): Promise<JobRunner> {
    const runner = this.runner(changes);
    runner.start();
    await this.clock.advanceAsync(0);
    return runner;
  }

  async job(number: number, changes: Partial<JobRecord> = {}, retry: Partial<JobRetry> = {}): Promise<JobRecord> {
    const nowMs = this.clock.now();
    const spec = jobSpec({ retry: { maxAttempts: 1, firstDelayMs: 10_000, longestDelayMs: 600_000, ...retry } });
    const record = jobRecord({ id: jobLabIdOf(number), spec, dueAt: nowMs, createdAt: nowMs, ...changes });
    assert.equal((await this.records.jobs.create(record)).outcome, 'created');
    return record;
  }

  async now(number: number, tenant = 'acme'): Promise<JobRecord> {
    return (await this.records.jobs.get(tenant, jobLabIdOf(number))) ?? assert.fail('no such job');
  }

  /** As a client changes a job: again where another came first. */
  async change(number: number, step: (job: JobRecord) => JobRecord | null): Promise<void> {
    for (;;) {
      const next = step(await this.now(number));
      if (next === null || (await this.records.jobs.replace(next)) !== null) return;
    }
  }

  turnOf(number: number, attempt = 1, tenant = 'acme'): string {
    return attemptTurnId({ tenant, id: jobLabIdOf(number) }, attempt);
  }

  get toldTypes(): readonly string[] {
    return this.told.map(({ type }) => type);
  }

  /** Time goes on until they have stopped. */
  async stop(): Promise<void> {
    const stops = Promise.all([...this.#runners].map((runner) => runner.stop()));
    await this.clock.advanceAsync(60_000);
    await stops;
  }
}
