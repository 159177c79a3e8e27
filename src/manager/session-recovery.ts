// Finds sessions whose owner is gone and hands each to the worker: at the start those of earlier runs,
// later whatever lost its owner since. One that cannot be recovered is tried again, ever more rarely,
// and holds up no other.

import type { Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SessionKey, WorkerLink } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { fleetEntries } from './fleet-pages.ts';

export type SessionRecoveryParts = {
  readonly worker: Pick<WorkerLink, 'recoverSession'>;
  readonly directory: Pick<SessionDirectory, 'lookup'>;
  readonly records: Pick<Records, 'sessions' | 'turns'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const mostAtOnce = 8;
const everyMs = 60_000;
/** A turn that was only just asked for is on its way to a worker: nobody has to look after it. */
const settledAfterMs = 30_000;
const firstRetryMs = 1_000;
const longestRetryMs = 10 * 60_000;
/** One that takes longer goes on by itself: others get its place. */
const longestWaitMs = 60_000;
/** Failures beyond this are not remembered: those sessions are tried at every pass. */
const mostRemembered = 10_000;

type Failure = { readonly attempts: number; readonly nextMs: number };

export class SessionRecovery {
  readonly #parts: SessionRecoveryParts;
  readonly #failures = new Map<string, Failure>();
  /** Handed over and not answered yet. */
  readonly #underWay = new Set<string>();
  readonly #stopping = Promise.withResolvers<void>();
  #isStopping = false;
  #isFirst = true;

  constructor(parts: SessionRecoveryParts) {
    this.#parts = parts;
  }

  /** One pass over all that may need it. Answers when the next is due. Never rejects. */
  async pass(): Promise<number> {
    const { clock, logger } = this.#parts;
    // At first all: what earlier runs left may be dated later than a clock that was set back says it is.
    const before = this.#isFirst ? Infinity : clock.now() - settledAfterMs;
    const seen = new Set<string>();
    const next = this.#lostSessions(before, seen);
    try {
      // Lanes share one iterator: it answers one `next` after the other.
      await Promise.all(Array.from({ length: mostAtOnce }, () => this.#lane(next)));
      for (const name of this.#failures.keys()) if (!seen.has(name)) this.#failures.delete(name);
      this.#isFirst = false;
    } catch (error) {
      logger.warn({ event: 'recovery_not_possible', err: error }, 'sessions to be recovered could not be looked for');
      return Math.min(everyMs, 5 * firstRetryMs);
    }
    return this.#nextPassMs();
  }

  /** What is under way goes on at the worker, and nobody waits for it here. */
  stop(): void {
    this.#isStopping = true;
    this.#stopping.resolve();
  }

  async #lane(lost: AsyncGenerator<SessionKey>): Promise<void> {
    for (let one = await lost.next(); one.done !== true && !this.#isStopping; one = await lost.next()) {
      await this.#recover(one.value);
    }
  }

  /** Each session once, however many of its turns are open. */
  async *#lostSessions(beforeMs: number, seen: Set<string>): AsyncGenerator<SessionKey> {
    const { directory, records } = this.#parts;
    const lists = [
      fleetEntries((after, limit) => records.sessions.listHeld(after, limit)),
      fleetEntries((after, limit) => records.turns.listOpen(after, limit)),
    ];
    for (const list of lists) {
      for await (const { tenant, sessionId, at } of list) {
        // In the order of their creation: what follows is younger.
        if (at >= beforeMs) break;
        const name = nameOf({ tenant, sessionId });
        if (seen.has(name)) continue;
        seen.add(name);
        if (this.#underWay.has(name) || !this.#isDue(name)) continue;
        if ((await directory.lookup(tenant, sessionId)) === null) yield { tenant, sessionId };
      }
    }
  }

  async #recover(key: SessionKey): Promise<void> {
    const { clock, logger, worker } = this.#parts;
    const name = nameOf(key);
    this.#underWay.add(name);
    const recovering = Promise.resolve()
      .then(() => worker.recoverSession(key))
      .then(
        () => {
          this.#failures.delete(name);
          logger.info({ event: 'session_recovered', session_id: key.sessionId }, 'a lost session was recovered');
        },
        (error: unknown) => this.#failed(key, error),
      )
      .finally(() => this.#underWay.delete(name));
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(longestWaitMs, resolve);
    await Promise.race([recovering, late, this.#stopping.promise]);
    cancel();
  }

  #failed(key: SessionKey, error: unknown): void {
    const { clock, logger } = this.#parts;
    if (this.#isStopping) return;
    const name = nameOf(key);
    const attempts = (this.#failures.get(name)?.attempts ?? 0) + 1;
    if (attempts === 1) {
      logger.warn(
        { event: 'session_not_recovered', session_id: key.sessionId, err: error },
        'a lost session could not be recovered yet; it is tried again',
      );
    }
    if (attempts > 1 || this.#failures.size < mostRemembered) {
      const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** (attempts - 1));
      this.#failures.set(name, { attempts, nextMs: clock.monotonicMs() + delayMs });
    }
  }

  #isDue(name: string): boolean {
    const failure = this.#failures.get(name);
    return failure === undefined || failure.nextMs <= this.#parts.clock.monotonicMs();
  }

  #nextPassMs(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    let soonestMs = everyMs;
    for (const { nextMs } of this.#failures.values()) soonestMs = Math.min(soonestMs, nextMs - nowMs);
    return Math.max(firstRetryMs, soonestMs);
  }
}

function nameOf({ tenant, sessionId }: SessionKey): string {
  return JSON.stringify([tenant, sessionId]);
}
