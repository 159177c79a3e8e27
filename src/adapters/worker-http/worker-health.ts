// Which workers to leave alone for a while, by what calls to them came to: longer with each failure in a row,
// forgiven with the first answer.

import type { Clock } from '../../core/clock.ts';

/** One run of a worker: the next begins with a clean sheet. */
type Run = { readonly id: string; readonly boot: string };
type Failures = { readonly inRow: number; readonly untilMs: number };

const stepMs = 1000;
const longestMs = 30_000;

export class WorkerHealth {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** It did not take a call at all. Of many that fail together, the first counts. */
  failed(run: Run): void {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#failures.get(nameOf(run));
    if (before !== undefined && nowMs < before.untilMs) return;
    const inRow = (before?.inRow ?? 0) + 1;
    this.#failures.set(nameOf(run), { inRow, untilMs: nowMs + Math.min(longestMs, stepMs * inRow) });
  }

  answered(run: Run): void {
    this.#failures.delete(nameOf(run));
  }

  isEjected(run: Run): boolean {
    return this.#clock.monotonicMs() < (this.#failures.get(nameOf(run))?.untilMs ?? 0);
  }

  keepOnly(runs: readonly Run[]): void {
    const kept = new Set(runs.map(nameOf));
    for (const name of this.#failures.keys()) if (!kept.has(name)) this.#failures.delete(name);
  }
}

function nameOf({ boot, id }: Run): string {
  return `${boot} ${id}`;
}
