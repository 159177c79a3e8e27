// Which workers live, and which are lost, on what evidence: refused connections and a new boot id prove
// it, silence alone has to last for a whole lease. Tells; what follows is decided elsewhere.

import type { KnownWorker, KnownWorkers, WorkerRegistry } from '../contracts/worker-registry.ts';
import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import type { WorkerId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import type { WorkerStateLabel } from '../observability/metrics.ts';
import { LostBoots, type LossEvidence } from './lost-boots.ts';

/** refused: nothing listens at the address. silent: no answer, or another one than was to be expected. */
export type ProbeAnswer = 'answers' | 'refused' | 'silent';

export type WatchedState = WorkerStateLabel;

/**
 * live: may write its sessions. proven: does not run any more, its leases may be ended. silent: nobody
 * speaks for it, but its leases have to run out. unknown: it is too early to say.
 */
export type OwnerVerdict = 'live' | 'proven' | 'silent' | 'unknown';

export type WorkerWatchParts = {
  readonly registry: Pick<WorkerRegistry, 'list'>;
  /** Asks whether anybody listens there. Ends by itself. */
  readonly probe: (url: string) => Promise<ProbeAnswer>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly onLost: () => void;
};

const listMs = 2_000;
const probeMs = 1_500;
const mostProbesAtOnce = 16;
/** A registry that took longer to answer, or was not asked for so long, may have been away meanwhile. */
const longestGapMs = 2_000;
/** Longer than the registry names those that are silent. */
const forgottenAfterMs = 60_000;

type Watched = { worker: KnownWorker; heardAtMs: number; namedAtMs: number; probedAtMs: number };

export class WorkerWatch {
  readonly #parts: WorkerWatchParts;
  readonly #watched = new Map<WorkerId, Watched>();
  readonly #lost: LostBoots;
  /** Boots that were never seen, and at which look they were first asked for. */
  readonly #strangers = new Map<string, number>();
  #looks = 0;
  #lookedAtMs = -Infinity;
  #steadySinceMs = Infinity;
  #registryKnowsSinceMs = Infinity;
  #isSilenceTold = false;
  #judging: Promise<void> | null = null;

  constructor(parts: WorkerWatchParts) {
    this.#parts = parts;
    this.#lost = new LostBoots(parts.clock);
  }

  /** Since the registry last answered. */
  get unansweredMs(): number {
    return this.#parts.clock.monotonicMs() - this.#lookedAtMs;
  }

  /**
   * For how long the registry has known what it knows, and was there to be told: who was not heard of for
   * so long, though able to speak, is silent.
   */
  get trustedForMs(): number {
    const sinceMs = Math.max(this.#steadySinceMs, this.#registryKnowsSinceMs);
    return Math.max(0, this.#parts.clock.monotonicMs() - sinceMs);
  }

  /** One look at all workers. Answers when the next is due. Never rejects. */
  async look(): Promise<number> {
    const { clock, heartbeatMs, logger, registry } = this.#parts;
    const askedAtMs = clock.monotonicMs();
    try {
      const known = await within(clock, listMs, registry.list(), null);
      if (known === null) throw new ServiceError('store_unavailable');
      this.#answered(known, askedAtMs);
      this.#isSilenceTold = false;
      // Not waited for: probes that nobody answers take longer than it is to the next look.
      this.#judging ??= this.#judgeQuiet().finally(() => {
        this.#judging = null;
      });
    } catch (error) {
      this.#steadySinceMs = Infinity;
      if (!this.#isSilenceTold)
        logger.warn({ event: 'registry_not_read', err: error }, 'the registry of workers does not answer');
      this.#isSilenceTold = true;
    }
    return Math.max(100, heartbeatMs / 2);
  }

  /** Resolves when no probe is under way any more. */
  async settled(): Promise<void> {
    await this.#judging;
  }

  /** What is known of a run of a worker that the records name. */
  verdict(id: WorkerId, boot: string): OwnerVerdict {
    const evidence = this.#lost.evidenceOf(id, boot);
    if (evidence === 'silent' || evidence === 'withdrawn') return 'silent';
    if (evidence !== null) return 'proven';
    const watched = this.#watched.get(id);
    if (watched?.worker.boot === boot) return 'live';
    // A record of before the manager's time, or of a boot that has come since the last look: the next look tells.
    const isWhollyKnown = this.trustedForMs >= this.#parts.leaseMs;
    if (watched === undefined) return isWhollyKnown ? 'silent' : 'unknown';
    const firstAskedAt = this.#strangers.get(`${id}/${boot}`) ?? this.#looks;
    this.#strangers.set(`${id}/${boot}`, firstAskedAt);
    // Two looks, for one may have been under way when the boot announced itself.
    const isReplaced = this.#looks >= firstAskedAt + 2 && this.#stateOf(watched) !== 'suspect';
    return isReplaced ? 'proven' : 'unknown';
  }

  /** How many there are in each state; those that were lost lately included. */
  counts(): Readonly<Record<WatchedState, number>> {
    const counts = { ready: 0, draining: 0, suspect: 0, lost: this.#lost.countSince(forgottenAfterMs) };
    for (const watched of this.#watched.values()) counts[this.#stateOf(watched)]++;
    return counts;
  }

  /** The last to be lost, the newest first. */
  lostLately(): readonly { readonly id: WorkerId; readonly boot: string; readonly evidence: LossEvidence }[] {
    return this.#lost.lately(20);
  }

  #answered({ workers, knownForMs }: KnownWorkers, askedAtMs: number): void {
    const nowMs = this.#parts.clock.monotonicMs();
    const hadGap = nowMs - askedAtMs > longestGapMs || nowMs - this.#lookedAtMs > longestGapMs + this.#longestSilenceMs;
    if (hadGap || this.#steadySinceMs === Infinity) this.#steadySinceMs = nowMs;
    this.#looks++;
    this.#lookedAtMs = nowMs;
    this.#registryKnowsSinceMs = nowMs - knownForMs;
    for (const worker of workers) this.#named(worker, nowMs);
    for (const watched of [...this.#watched.values()]) {
      if (watched.namedAtMs !== nowMs) this.#notNamed(watched);
    }
    for (const [stranger, look] of this.#strangers) if (this.#looks - look > 1_000) this.#strangers.delete(stranger);
  }

  #named(worker: KnownWorker, nowMs: number): void {
    const before = this.#watched.get(worker.id);
    const heardAtMs = nowMs - worker.silentMs;
    if (before !== undefined && before.worker.boot !== worker.boot) {
      // After a loss of its data the registry may hear of an earlier boot first, one that was paused.
      if (worker.startedAt < before.worker.startedAt) return;
      this.#lose(before, 'replaced');
    }
    const isLost = this.#lost.evidenceOf(worker.id, worker.boot) !== null;
    if (isLost && worker.silentMs > this.#longestSilenceMs) return;
    if (isLost) this.#cameBack(worker);
    if (before?.worker.boot === worker.boot) {
      before.worker = worker;
      before.heardAtMs = Math.max(before.heardAtMs, heardAtMs);
      before.namedAtMs = nowMs;
    } else this.#watched.set(worker.id, { worker, heardAtMs, namedAtMs: nowMs, probedAtMs: -Infinity });
  }

  /** Either it withdrew, or the registry has forgotten it. */
  #notNamed(watched: Watched): void {
    const isForgetful = this.#registryKnowsSinceMs + longestGapMs > watched.namedAtMs;
    const wasForgotten = isForgetful || this.#silenceOf(watched) >= forgottenAfterMs;
    if (!wasForgotten) this.#lose(watched, 'withdrawn');
  }

  async #judgeQuiet(): Promise<void> {
    const quiet = [...this.#watched.values()].filter((one) => this.#silenceOf(one) > this.#longestSilenceMs);
    const next = quiet.values();
    const lane = async (): Promise<void> => {
      for (const watched of next) await this.#judge(watched);
    };
    await Promise.all(Array.from({ length: Math.min(mostProbesAtOnce, quiet.length) }, lane));
  }

  async #judge(watched: Watched): Promise<void> {
    const { clock, heartbeatMs, leaseMs, probe } = this.#parts;
    const isStillQuiet = (): boolean =>
      this.#watched.get(watched.worker.id) === watched && this.#silenceOf(watched) > this.#longestSilenceMs;
    if (clock.monotonicMs() - watched.probedAtMs >= heartbeatMs / 2) {
      watched.probedAtMs = clock.monotonicMs();
      // A probe that breaks has proven nothing.
      const asking = probe(watched.worker.url).catch(() => 'silent' as const);
      const answer = await within(clock, probeMs, asking, 'silent');
      if (answer === 'refused' && isStillQuiet()) return this.#lose(watched, 'refused');
    }
    const isSilent = this.#silenceOf(watched) > leaseMs && this.trustedForMs >= leaseMs;
    if (isSilent && isStillQuiet()) this.#lose(watched, 'silent');
  }

  #lose({ worker: { id, boot } }: Watched, evidence: LossEvidence): void {
    const { logger, onLost } = this.#parts;
    this.#watched.delete(id);
    this.#lost.add(id, boot, evidence);
    const facts = { worker_id: id, boot, evidence };
    if (evidence === 'withdrawn') logger.info({ event: 'worker_left', ...facts }, 'a worker has stopped');
    else logger.warn({ event: 'worker_lost', ...facts }, 'a worker is lost; its sessions are handed to others');
    onLost();
  }

  #cameBack({ boot, id }: KnownWorker): void {
    this.#lost.remove(id, boot);
    this.#parts.logger.info({ event: 'worker_back', worker_id: id, boot }, 'a worker that seemed lost is back');
  }

  #stateOf(watched: Watched): WatchedState {
    if (this.#silenceOf(watched) > 3 * this.#parts.heartbeatMs) return 'suspect';
    return watched.worker.state;
  }

  #silenceOf(watched: Watched): number {
    return this.#parts.clock.monotonicMs() - watched.heardAtMs;
  }

  /** A heartbeat that is late by half: whether anybody listens there is cheap to ask. */
  get #longestSilenceMs(): number {
    return 1.5 * this.#parts.heartbeatMs;
  }
}
