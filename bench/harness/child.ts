// A part under measurement in a process of its own: started with a job, asked over IPC, ended for sure.
// `cpu` and `memory` are understood by all of them.

import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from './benchmark.ts';

export type MemoryUse = { readonly rss: number; readonly heap: number };

type Answer = { readonly id: number; readonly result?: unknown; readonly error?: string };

const startLimitMs = 30_000;
const stopGraceMs = 8_000;

export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #nextId = 1;

  private constructor(lab: Lab, script: string, env: Readonly<Record<string, string>>) {
    const logFile = path.join(lab.dir, `${script}.log`);
    // A file, as in production: a pipe to us would cost us time.
    const log = openSync(logFile, 'a');
    this.#process = fork(fileURLToPath(new URL(`../parts/${script}`, import.meta.url)), {
      execArgv: [
        '--expose-gc',
        '--disable-warning=ExperimentalWarning',
        ...(lab.profileDir === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${lab.profileDir}`]),
      ],
      env: { ...env },
      stdio: ['ignore', 'ignore', log, 'ipc'],
    });
    closeSync(log);
    this.#process.on('message', (answer) => this.#answered(answer as Answer));
    this.#process.once('exit', (code, signal) => {
      const said = this.#waiting.size === 0 ? '' : readFileSync(logFile, 'utf8').slice(-1500);
      const ended = new Error(`${script} ended: ${signal ?? code}\n${said}`);
      for (const waiting of this.#waiting.values()) waiting.reject(ended);
      this.#waiting.clear();
    });
  }

  /** Resolves with what the child says of itself once it is ready. */
  static async start<Ready>(
    lab: Lab,
    script: string,
    job: Readonly<Record<string, unknown>> = {},
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly child: Child; readonly ready: Ready }> {
    const child = new Child(lab, script, {
      PATH: process.env['PATH'] ?? '',
      HOME: lab.dir,
      ...env,
    });
    lab.defer(() => child.stop());
    return { child, ready: await child.ask<Ready>('start', job) };
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  async ask<T>(what: string, argument: unknown = null, limitMs = startLimitMs): Promise<T> {
    const id = this.#nextId++;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    const timer = setTimeout(() => waiting.reject(new Error(`no answer to ${what} in time`)), limitMs);
    this.#process.send({ id, what, argument });
    try {
      return (await waiting.promise) as T;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Microseconds of CPU that the process has used. */
  async cpuUs(): Promise<number> {
    return await this.ask<number>('cpu');
  }

  /** After a full collection. */
  async memory(): Promise<MemoryUse> {
    return await this.ask<MemoryUse>('memory');
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    const timer = setTimeout(() => child.kill('SIGKILL'), stopGraceMs);
    if (child.connected) child.disconnect();
    await exited;
    clearTimeout(timer);
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }
}
