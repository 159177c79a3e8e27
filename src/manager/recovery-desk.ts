// Hands sessions that need somebody to a worker: each once at a time, whoever asks, and one that fails
// again ever more rarely. Does not decide which sessions need it.

import type { SessionKey, WorkerLink } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import { type ErrorCode, isServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';

export type RecoveryDeskParts = {
  readonly worker: Pick<WorkerLink, 'recoverSession'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRecovered?: () => void;
};

export const firstRetryMs = 1_000;
const longestRetryMs = 10 * 60_000;
/** What speaks of the fleet and not of the session is over sooner. */
const longestFleetRetryMs = 2_000;
const ofTheFleet: readonly ErrorCode[] = [
  'draining',
  'no_worker_ready',
  'stale_epoch',
  'store_conflict',
  'store_unavailable',
  'worker_lost',
  'worker_reserved',
  'worker_unreachable',
];
/** Somebody else came first, or there is nothing left to recover: no news. */
const unsaid: readonly ErrorCode[] = ['session_not_found', 'stale_epoch', 'store_conflict'];
/** Failures beyond this are not remembered: those sessions are tried whenever somebody asks. */
const mostRemembered = 10_000;

export type Lanes = {
  readonly mostAtOnce: number;
  /** One that takes longer goes on by itself: others get its place. */
  readonly patienceMs: number;
};

type Failure = { readonly attempts: number; readonly nextMs: number };

export class RecoveryDesk {
  readonly #parts: RecoveryDeskParts;
  readonly #failures = new Map<string, Failure>();
  /** Handed over and not answered yet. */
  readonly #underWay = new Set<string>();
  readonly #stopping = Promise.withResolvers<void>();
  #isStopping = false;
  #noWorkerUntilMs = -Infinity;
  #isLackTold = false;

  constructor(parts: RecoveryDeskParts) {
    this.#parts = parts;
  }

  /** Whether it is not under way, and not to be waited with. */
  isDue(key: SessionKey): boolean {
    const name = nameOf(key);
    const nextMs = this.#failures.get(name)?.nextMs ?? -Infinity;
    return !this.#underWay.has(name) && nextMs <= this.#parts.clock.monotonicMs();
  }

  /** How many are handed over and not answered yet. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Hands over all of them, so many at once. Rejects only as `keys` does. */
  async recoverAll(keys: AsyncGenerator<SessionKey>, { mostAtOnce, patienceMs }: Lanes): Promise<void> {
    const lane = async (): Promise<void> => {
      for (let one = await keys.next(); one.done !== true && !this.#isStopping; one = await keys.next()) {
        await this.#recover(one.value, patienceMs);
      }
    };
    // Lanes share one iterator: it answers one `next` after the other.
    await Promise.all(Array.from({ length: mostAtOnce }, lane));
  }

  /**
   * Lets whoever holds the session look for turns that it was not told of. Who asks decides when to ask again:
   * it is not known here, and keeps nobody from taking over a session whose holder does not answer.
   */
  async askHolder(key: SessionKey, patienceMs: number): Promise<void> {
    const { logger, worker } = this.#parts;
    const facts = { session_id: key.sessionId };
    const asking = Promise.resolve()
      .then(() => worker.recoverSession(key))
      .then(
        () => logger.debug({ event: 'session_looked_after', ...facts }, 'who has a session saw to its turns'),
        (error: unknown) =>
          logger.debug({ event: 'session_not_looked_after', ...facts, err: error }, 'who has a session did not answer'),
      );
    await this.#within(patienceMs, asking);
  }

  /** Resolves when it has ended, or has taken so long that others may go on. Never rejects. */
  async #recover(key: SessionKey, patienceMs: number): Promise<void> {
    await this.#workerAwaited();
    if (this.#isStopping || !this.isDue(key)) return;
    const name = nameOf(key);
    this.#underWay.add(name);
    const recovering = Promise.resolve()
      .then(() => this.#parts.worker.recoverSession(key))
      .then(
        () => this.#recovered(key),
        (error: unknown) => this.#failed(key, error),
      )
      .finally(() => this.#underWay.delete(name));
    await this.#within(patienceMs, recovering);
  }

  /** Until the next that failed may be tried again; Infinity when there is none. Forgets what has resolved itself. */
  nextRetryMs(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    let soonestMs = Infinity;
    for (const [name, { nextMs }] of this.#failures) {
      if (nextMs > nowMs) soonestMs = Math.min(soonestMs, nextMs - nowMs);
      else if (nextMs + 2 * longestRetryMs < nowMs) this.#failures.delete(name);
    }
    return soonestMs;
  }

  /** What is under way goes on at the worker, and nobody waits for it here. */
  stop(): void {
    this.#isStopping = true;
    this.#stopping.resolve();
  }

  /** Where no worker is ready, none is for the next session either: it would fail for nothing. */
  async #workerAwaited(): Promise<void> {
    const leftMs = this.#noWorkerUntilMs - this.#parts.clock.monotonicMs();
    if (leftMs > 0) await this.#within(leftMs, new Promise<never>(() => {}));
  }

  /** Until then, or until a stop; the work itself goes on. */
  async #within(limitMs: number, work: Promise<void>): Promise<void> {
    await within(this.#parts.clock, limitMs, Promise.race([work, this.#stopping.promise]), undefined);
  }

  #recovered(key: SessionKey): void {
    const { logger, onRecovered } = this.#parts;
    this.#failures.delete(nameOf(key));
    this.#isLackTold = false;
    onRecovered?.();
    logger.info({ event: 'session_recovered', session_id: key.sessionId }, 'a lost session was recovered');
  }

  #failed(key: SessionKey, error: unknown): void {
    const { clock, logger } = this.#parts;
    if (this.#isStopping) return;
    const name = nameOf(key);
    const attempts = (this.#failures.get(name)?.attempts ?? 0) + 1;
    const isAnyOf = (codes: readonly ErrorCode[]): boolean => codes.some((code) => isServiceError(error, code));
    if (isServiceError(error, 'no_worker_ready')) this.#lackWorker();
    else if (attempts === 1 && !isAnyOf(unsaid)) {
      logger.warn(
        { event: 'session_not_recovered', session_id: key.sessionId, err: error },
        'a lost session could not be recovered yet; it is tried again',
      );
    }
    if (attempts === 1 && this.#failures.size >= mostRemembered) return;
    const longestMs = isAnyOf(ofTheFleet) ? longestFleetRetryMs : longestRetryMs;
    const delayMs = Math.min(longestMs, firstRetryMs * 2 ** (attempts - 1));
    this.#failures.set(name, { attempts, nextMs: clock.monotonicMs() + delayMs });
  }

  #lackWorker(): void {
    const { clock, logger } = this.#parts;
    this.#noWorkerUntilMs = clock.monotonicMs() + firstRetryMs;
    if (this.#isLackTold) return;
    this.#isLackTold = true;
    logger.warn({ event: 'recovery_waits_for_worker' }, 'no worker is ready to take lost sessions; they wait for one');
  }
}

function nameOf({ tenant, sessionId }: SessionKey): string {
  return JSON.stringify([tenant, sessionId]);
}
