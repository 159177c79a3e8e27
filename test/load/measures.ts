// Numbers out of noise: medians, slopes, and what the kernel says that a process holds. Each check fails
// on doctored numbers (measures.test.ts), so that its silence means something.

import { readdirSync } from 'node:fs';
import { descendantsOf, readProcFile } from '../e2e/processes.ts';

/** Longer and more: for a machine of one's own. */
export const loadScale = Number(process.env['CODEX_FLEET_LOAD_SCALE'] ?? 1);

export type Holding = { readonly residentMiB: number; readonly files: number; readonly processes: number };

/** Of the process itself, and how many run below it. */
export function holdingOf(pid: number): Holding {
  return {
    residentMiB: Number(/VmRSS:\s+(\d+)/.exec(readProcFile(pid, 'status'))?.[1] ?? 0) / 1024,
    files: readdirSync(`/proc/${pid}/fd`).length,
    processes: descendantsOf(pid).length,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * How much the values grow from one end to the other: the median slope of all pairs (Theil–Sen), so that
 * neither a late garbage collection nor a burst of it decides.
 */
export function growth(values: readonly number[]): number {
  const slopes: number[] = [];
  for (const [left, low] of values.entries()) {
    for (const [ahead, high] of values.slice(left + 1).entries()) slopes.push((high - low) / (ahead + 1));
  }
  return slopes.length === 0 ? 0 : median(slopes) * (values.length - 1);
}

export type Started = { readonly tenant: string; readonly createdAtMs: number; readonly startedAtMs: number };

/**
 * For each turn of the tenant, in order: how many turns of others began between its coming and its
 * beginning, per turn of the tenant so far. 1 is a fair share between two.
 */
export function othersPerTurn(turns: readonly Started[], tenant: string, running: number): number[] {
  const own = turns.filter((turn) => turn.tenant === tenant).sort((a, b) => a.startedAtMs - b.startedAtMs);
  const others = turns.filter((turn) => turn.tenant !== tenant);
  return own.map((turn, index) => {
    const before = others.filter(
      (other) => other.startedAtMs > turn.createdAtMs && other.startedAtMs < turn.startedAtMs,
    );
    // A slot that is about to be given is given: those do not count.
    return Math.max(0, before.length - running) / (index + 1);
  });
}
