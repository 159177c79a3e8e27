// What a benchmark is, and the lab it runs in: a place for its files, and an end for all that it
// started, however it ends.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Finding } from './finding.ts';

export type Fact = { readonly what: string; readonly value: string };

export type BenchmarkResult = {
  readonly findings: readonly Finding[];
  /** Measured beside the bars: costs per unit, loads, counts. */
  readonly facts: readonly Fact[];
};

export type Benchmark = {
  /** As given on the command line. */
  readonly name: string;
  readonly title: string;
  /** What is compared with what, for the reader of BENCHMARKS.md. */
  readonly method: string;
  readonly limitMs: number;
  /** Why it cannot be measured on this machine; null: it can. Default: it can. */
  readonly lacking?: () => string | null;
  run(lab: Lab): Promise<BenchmarkResult>;
};

export type LabOptions = { readonly isQuick: boolean; readonly profileDir: string | null };

/** For the end by a signal. */
const openLabs = new Set<Lab>();
let isEnding = false;
const endGraceMs = 300;

export class Lab {
  readonly isQuick: boolean;
  /** Where the parts in processes of their own leave CPU profiles; null: nowhere. */
  readonly profileDir: string | null;
  readonly dir: string;
  readonly #endings: (() => Promise<unknown> | void)[] = [];

  private constructor(dir: string, options: LabOptions) {
    this.dir = dir;
    this.isQuick = options.isQuick;
    this.profileDir = options.profileDir;
  }

  static async open(options: LabOptions): Promise<Lab> {
    if (isEnding) throw new Error('the run is being ended');
    // Short: it holds unix sockets.
    const dir = await mkdtemp(path.join(tmpdir(), 'fleet-bench-'));
    const lab = new Lab(dir, options);
    openLabs.add(lab);
    lab.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
    return lab;
  }

  /** Of two sizes the one for this run. */
  size(full: number, quick: number): number {
    return this.isQuick ? quick : full;
  }

  /** Called at the end, last first. */
  defer(ending: () => Promise<unknown> | void): void {
    this.#endings.push(ending);
  }

  async close(): Promise<void> {
    openLabs.delete(this);
    for (let ending = this.#endings.pop(); ending !== undefined; ending = this.#endings.pop()) {
      try {
        await ending();
      } catch (error) {
        console.error('  while ending:', error instanceof Error ? error.message : error);
      }
    }
  }
}

/** Rejects at the limit; whatever the benchmark started is ended either way. */
export async function runBenchmark(benchmark: Benchmark, options: LabOptions): Promise<BenchmarkResult> {
  const lab = await Lab.open(options);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`not done within ${benchmark.limitMs / 1000} s`)),
    benchmark.limitMs,
  );
  try {
    return await Promise.race([benchmark.run(lab), late.promise]);
  } finally {
    clearTimeout(timer);
    await lab.close();
  }
}

/** Ends whatever the benchmark under way has started. */
export async function closeLabs(): Promise<void> {
  isEnding = true;
  const labs = [...openLabs];
  await Promise.all(labs.map((lab) => lab.close()));
  // The benchmark itself has not been stopped: it may have begun something while its lab was closed.
  await sleep(endGraceMs);
  await Promise.all(labs.map((lab) => lab.close()));
  await Promise.all(labs.map(({ dir }) => rm(dir, { recursive: true, force: true, maxRetries: 5 })));
}

export async function sleep(durationMs: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, durationMs));
}
