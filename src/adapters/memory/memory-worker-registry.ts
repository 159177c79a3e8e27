// The worker registry of one process, for tests and for fleets that are one process.

import type { KnownWorkers, WorkerEntry, WorkerRegistry } from '../../contracts/worker-registry.ts';
import type { Clock } from '../../core/clock.ts';
import type { WorkerId } from '../../core/ids.ts';

/** Silent for longer: not named any more. */
const forgetAfterMs = 60_000;
/** A later boot that was silent for longer keeps no earlier one out: which is later, their own clocks say. */
const heedMs = 3_000;

type Heard = { readonly entry: WorkerEntry; readonly atMs: number };

export class MemoryWorkerRegistry implements WorkerRegistry {
  readonly #clock: Clock;
  readonly #heard = new Map<WorkerId, Heard>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async announce(entry: WorkerEntry): Promise<boolean> {
    this.#forgetSilent();
    const known = this.#heard.get(entry.id);
    const isHeeded = known !== undefined && this.#clock.monotonicMs() - known.atMs <= heedMs;
    if (isHeeded && isLaterBoot(known.entry, entry)) return false;
    this.#heard.set(entry.id, { entry, atMs: this.#clock.monotonicMs() });
    return true;
  }

  async withdraw(id: WorkerId, boot: string): Promise<void> {
    if (this.#heard.get(id)?.entry.boot === boot) this.#heard.delete(id);
  }

  async list(): Promise<KnownWorkers> {
    this.#forgetSilent();
    const nowMs = this.#clock.monotonicMs();
    const workers = [...this.#heard.values()].map(({ entry, atMs }) => ({ ...entry, silentMs: nowMs - atMs }));
    workers.sort((a, b) => (a.id < b.id ? -1 : 1));
    return { workers, knownForMs: Infinity };
  }

  #forgetSilent(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [id, { atMs }] of this.#heard) if (nowMs - atMs > forgetAfterMs) this.#heard.delete(id);
  }
}

function isLaterBoot(known: WorkerEntry, entry: WorkerEntry): boolean {
  if (known.boot === entry.boot) return false;
  return known.startedAt > entry.startedAt || (known.startedAt === entry.startedAt && known.boot > entry.boot);
}
