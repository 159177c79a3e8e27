// Finds the worker for a call about a session and sees it answered: its holder, or one that is chosen. Goes on
// to another only after a refusal that took nothing; what is unclear is the caller's to judge.

import type { KnownWorker } from '../../contracts/worker-registry.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import type { Clock } from '../../core/clock.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';
import { placeSession } from '../../core/placement.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { SessionHolders } from './session-holders.ts';
import type { RemoteWorker } from './worker-http-link.ts';
import type { FleetCandidate, WorkerView } from './worker-view.ts';

export type SessionRouteParts = {
  readonly view: WorkerView;
  readonly holders: SessionHolders;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'placements'>;
  readonly random: () => number;
  /** How long a holder that cannot take the call is waited for. */
  readonly holderWaitMs: number;
  /** How long a fleet is waited for in which nobody takes sessions: while workers are replaced, that passes. */
  readonly nobodyWaitMs: number;
};

export type Ask<T> = (worker: RemoteWorker, id: WorkerId) => Promise<T>;

export type RouteOptions = {
  /** Known to be lost: its lease is not heeded, and it is not asked. */
  readonly lost?: WorkerId | null;
  /** false once a call cannot be made again, because what it carries has been read. */
  readonly canRepeat?: () => boolean;
};

const lookAgainMs = 200;
const mostHops = 3;

/** With what a worker says that it took nothing, and that another may. */
const elsewhereCodes = ['worker_unreachable', 'queue_full', 'draining', 'worker_reserved', 'no_worker_ready'] as const;

type Attempt = {
  readonly key: SessionKey;
  readonly lost: WorkerId | null;
  readonly deadlineMs: number;
  /** Those that refused because they are full. */
  readonly full: Set<WorkerId>;
  /** Those that refused for another reason. */
  readonly excluded: Set<WorkerId>;
  /** Named as the holder by a worker that was asked. */
  named: WorkerId | null;
  hops: number;
  queueFull: ServiceError | null;
  /** By a worker that serves another tenant: another one comes in its place. */
  reserved: ServiceError | null;
  latest: unknown;
};

export class SessionRoute {
  readonly #parts: SessionRouteParts;

  constructor(parts: SessionRouteParts) {
    this.#parts = parts;
  }

  /** A call that is the holder's; a session that nobody holds is given to the worker that is chosen. */
  async ask<T>(key: SessionKey, ask: Ask<T>, { canRepeat = () => true, lost = null }: RouteOptions = {}): Promise<T> {
    const { clock, holderWaitMs } = this.#parts;
    const deadlineMs = clock.monotonicMs() + holderWaitMs;
    const attempt: Attempt = {
      key,
      lost,
      deadlineMs,
      full: new Set(),
      excluded: new Set(lost === null ? [] : [lost]),
      named: null,
      hops: 0,
      queueFull: null,
      reserved: null,
      latest: null,
    };
    for (;;) {
      const holder = await this.#holderOf(attempt);
      const worker = holder === null ? await this.#placed(attempt) : await this.#parts.view.find(holder);
      if (worker === null) {
        await this.#lookLater(attempt, holder ?? 'unknown', 'holder_gone');
        continue;
      }
      if (holder !== null) this.#placedBy('affinity', key, worker.id);
      try {
        return await this.#askOne(key, worker, ask);
      } catch (error) {
        attempt.latest = error;
        if (!canRepeat()) throw error;
        if (holder === null) await this.#refusedByPlaced(attempt, worker.id, error);
        else await this.#refusedByHolder(attempt, worker.id, error);
      }
    }
  }

  /** The holder, if it is known and lives; null when there is none. */
  async askHolder<T>(key: SessionKey, ask: Ask<T>): Promise<T | null> {
    const holder = await this.#parts.holders.of(key);
    const worker = holder === null ? null : await this.#parts.view.find(holder);
    return worker === null ? null : await this.#askOne(key, worker, ask);
  }

  /** A look that binds nothing: the holder's, else from the snapshot by any worker that answers. */
  async look<T>(key: SessionKey, ask: Ask<T>): Promise<T> {
    const { holders, view } = this.#parts;
    // Snapshots can be read by everybody: without a directory we may miss what a slot has not committed yet.
    const holder = await holders.of(key).catch(() => null);
    const asked = new Set<string>();
    let latest: unknown = null;
    await view.all();
    let next = holder === null ? null : await view.find(holder);
    for (;;) {
      next ??= this.#lookPlace(key, view.candidates(), asked);
      if (next === null) throw new ServiceError('no_worker_ready', {}, latest === null ? {} : { cause: latest });
      asked.add(next.boot);
      try {
        return await this.#askOne(key, next, ask);
      } catch (error) {
        if (!isServiceError(error, 'worker_unreachable')) throw error;
        latest = error;
        next = null;
      }
    }
  }

  async #holderOf(attempt: Attempt): Promise<WorkerId | null> {
    const { key, lost, named } = attempt;
    attempt.named = null;
    const holder = named ?? (await this.#parts.holders.of(key));
    return holder === lost ? null : holder;
  }

  async #placed(attempt: Attempt): Promise<KnownWorker> {
    const { clock, nobodyWaitMs, view } = this.#parts;
    const deadlineMs = clock.monotonicMs() + nobodyWaitMs;
    for (;;) {
      await view.all();
      const worker = this.#chosen(attempt);
      if (worker !== null) return worker;
      const { latest, lost, queueFull, reserved } = attempt;
      if (queueFull !== null || clock.monotonicMs() + lookAgainMs > deadlineMs)
        throw (
          queueFull ?? reserved ?? new ServiceError('no_worker_ready', {}, latest === null ? {} : { cause: latest })
        );
      await new Promise<void>((resolve) => void clock.after(lookAgainMs, resolve));
      await view.refresh();
      // Who refused may be another run by now, or ready again.
      attempt.excluded.clear();
      if (lost !== null) attempt.excluded.add(lost);
    }
  }

  /** Nothing waits here: of several sessions at once each counts the one before. */
  #chosen({ excluded, full, key }: Attempt): KnownWorker | null {
    const { random, view } = this.#parts;
    const workers = view
      .candidates()
      .filter(({ id }) => !excluded.has(id))
      .map((one): FleetCandidate => (full.has(one.id) ? { ...one, availability: 'full' } : one));
    const { reason, worker } = placeSession({ workers, holder: null, tenant: key.tenant, random });
    this.#placedBy(reason, key, worker?.id ?? null);
    if (worker === null) return null;
    view.sent(worker.id);
    return worker.worker;
  }

  #lookPlace(
    { tenant }: SessionKey,
    candidates: readonly FleetCandidate[],
    asked: ReadonlySet<string>,
  ): KnownWorker | null {
    // One that drains can still read.
    const workers = candidates
      .filter(({ worker }) => !asked.has(worker.boot))
      .map((one): FleetCandidate => (one.availability === 'draining' ? { ...one, availability: 'ejected' } : one));
    return placeSession({ workers, holder: null, tenant, random: this.#parts.random }).worker?.worker ?? null;
  }

  async #askOne<T>(key: SessionKey, worker: KnownWorker, ask: Ask<T>): Promise<T> {
    const { holders, view } = this.#parts;
    try {
      const answer = await ask(view.linkTo(worker), worker.id);
      view.health.answered(worker);
      return answer;
    } catch (error) {
      if (isServiceError(error, 'worker_unreachable')) await this.#unreachable(worker, error);
      else if (!isServiceError(error, 'worker_lost')) view.health.answered(worker);
      if (isServiceError(error, 'stale_epoch')) rememberNamed(holders, key, error);
      throw error;
    }
  }

  async #unreachable(worker: KnownWorker, error: ServiceError): Promise<void> {
    const { logger, view } = this.#parts;
    const { reason } = error.details;
    const isOurs = reason === 'credential_refused' || reason === 'call_not_known';
    // Once for each time that it is left alone: nobody but the operator can mend this.
    if (isOurs && !view.health.isEjected(worker)) {
      logger.error({ event: 'worker_not_of_ours', worker_id: worker.id, reason }, 'a worker does not take our calls');
    }
    if (isOtherBoot(error)) await view.refresh();
    // Our own connections are all in use: that says nothing of the worker.
    else if (reason !== 'no_connection_in_time') view.health.failed(worker);
  }

  async #refusedByPlaced(attempt: Attempt, id: WorkerId, error: unknown): Promise<void> {
    if (isServiceError(error, 'stale_epoch')) await this.#follow(attempt, id, error);
    else if (isServiceError(error, 'queue_full')) {
      attempt.queueFull = error;
      attempt.full.add(id);
    } else if (isOtherBoot(error) && attempt.hops < mostHops) attempt.hops += 1;
    else if (elsewhereCodes.some((code) => isServiceError(error, code))) {
      attempt.excluded.add(id);
      if (isServiceError(error, 'worker_reserved')) attempt.reserved = error;
    } else throw error;
  }

  /** Its lease stands: nobody else can take the session before that ends, so nobody else is asked. */
  async #refusedByHolder(attempt: Attempt, id: WorkerId, error: unknown): Promise<void> {
    if (isServiceError(error, 'stale_epoch')) await this.#follow(attempt, id, error);
    else if (isServiceError(error, 'worker_unreachable')) await this.#lookLater(attempt, id, 'holder_gone');
    else if (isServiceError(error, 'draining') || isServiceError(error, 'no_worker_ready')) {
      await this.#lookLater(attempt, id, 'holder_draining');
    } else throw error;
  }

  /** To the holder that the refusal names. Where they send us round in a circle, things have to settle first. */
  async #follow(attempt: Attempt, id: WorkerId, refusal: ServiceError): Promise<void> {
    const { worker } = refusal.details;
    if (attempt.lost !== null && worker === attempt.lost) throw refusal;
    attempt.hops += 1;
    if (typeof worker === 'string' && worker !== id && attempt.hops <= mostHops) {
      attempt.named = worker;
      return;
    }
    attempt.hops = 0;
    await this.#lookLater(attempt, id, 'holder_unclear');
  }

  async #lookLater(attempt: Attempt, worker: WorkerId, reason: string): Promise<void> {
    const { clock, view } = this.#parts;
    attempt.named = null;
    if (clock.monotonicMs() + lookAgainMs > attempt.deadlineMs) {
      throw new ServiceError('worker_lost', { worker, reason }, { cause: attempt.latest });
    }
    await new Promise<void>((resolve) => void clock.after(lookAgainMs, resolve));
    await view.refresh();
  }

  #placedBy(
    reason: Parameters<Metrics['placements']['inc']>[0]['reason'],
    key: SessionKey,
    worker: string | null,
  ): void {
    const { logger, metrics } = this.#parts;
    metrics.placements.inc({ reason });
    const facts = { event: 'session_placed', session_id: key.sessionId, worker_id: worker, reason };
    logger.debug(facts, 'a worker was chosen for a session');
  }
}

/** It lives, and is not the run that we knew. */
function isOtherBoot(error: unknown): boolean {
  return isServiceError(error, 'worker_unreachable') && error.details['reason'] === 'other_boot';
}

function rememberNamed(holders: SessionHolders, key: SessionKey, { details }: ServiceError): void {
  if (typeof details['worker'] === 'string') holders.remember(key, details['worker']);
}
