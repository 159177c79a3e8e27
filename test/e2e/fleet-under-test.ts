// A fleet started as a user starts it, in a process of its own, with a data directory and a home of its
// own. Owns its life and proves its end; talking to it is the client's part (fleet-client.ts).

import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { eventually, within } from './eventually.ts';
import { FleetClient } from './fleet-client.ts';
import { descendantsOf, describe, findByMark, isAlive, type ProcessFacts } from './processes.ts';

export const repository = path.resolve(import.meta.dirname, '../..');

export type FleetOptions = {
  /** Default: the whole fleet. */
  readonly role?: 'up' | 'worker';
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: a new one, removed at the end. */
  readonly dataDir?: string;
  /** Through `npm start` itself instead of the command in it. */
  readonly viaNpm?: boolean;
};

export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

const readyDeadlineMs = 20_000;
const exitDeadlineMs = 10_000;
/** A killed cage takes its processes along, but not in the same instant. */
const goneDeadlineMs = 4_000;

/** npm would outlive a test run that was killed. */
function endsWithUs(): string[] {
  return existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'TERM'] : [];
}

export function newDirectory(): string {
  return mkdtempSync(path.join(tmpdir(), 'fleet-e2e-'));
}

/** What a user's shell would give, less everything that could change what a fleet does. */
export function plainEnvironment(home: string): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', HOME: home, LANG: 'C.UTF-8', NO_COLOR: '1' };
}

export class FleetUnderTest {
  readonly dataDir: string;
  readonly home: string;
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly exited: Promise<Exit>;
  readonly #scratch: string | null;
  readonly #isGroup: boolean;
  #stdout = '';
  #stderr = '';
  #client: FleetClient | null = null;
  #exit: Exit | null = null;

  private constructor(options: FleetOptions) {
    this.#scratch = options.dataDir === undefined ? newDirectory() : null;
    this.dataDir = options.dataDir ?? path.join(this.#scratch ?? '', 'data');
    this.home = path.join(path.dirname(this.dataDir), 'home');
    mkdirSync(this.home, { recursive: true });
    const role = options.role ?? 'up';
    const args = [
      role === 'up' ? '--port' : '--worker-port',
      '0',
      '--data-dir',
      this.dataDir,
      '--slots',
      '4',
      '--warm-slots',
      '1',
      ...(options.args ?? []),
    ];
    const words =
      options.viaNpm === true
        ? [...endsWithUs(), 'npm', 'start', '--', ...args]
        : ['sh', 'bin/run-node.sh', '--die-with-parent', 'src/cli/main.ts', role, ...args];
    // As in a terminal: npm and what it runs are one process group, and Ctrl-C goes to all of it.
    this.#isGroup = options.viaNpm === true;
    this.child = spawn(words[0] ?? '', words.slice(1), {
      cwd: repository,
      env: { ...plainEnvironment(this.home), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: this.#isGroup,
    });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      // 'close' and not 'exit': what it said last is to be in the screen and the log.
      this.child.once('close', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
  }

  /** Resolves when it says `ready`; rejects, with what it said, when it ends or takes too long. */
  static async start(options: FleetOptions = {}): Promise<FleetUnderTest> {
    const fleet = new FleetUnderTest(options);
    const role = options.role ?? 'up';
    try {
      await eventually('the fleet says ready', readyDeadlineMs, () => {
        if (fleet.#exit !== null) throw new Error(`the fleet ended at its start: ${JSON.stringify(fleet.#exit)}`);
        return fleet.isReady;
      });
      fleet.#client = new FleetClient(
        fleet.#urlOnScreen(),
        role === 'up' ? fleet.#tokenOnScreen() : fleet.#tokenInFile(),
      );
      return fleet;
    } catch (error) {
      fleet.#kill();
      fleet.#removeScratch();
      throw new Error(`${String(error)}\n--- stdout\n${fleet.#stdout}\n--- stderr\n${fleet.#stderr}`, { cause: error });
    }
  }

  /** For starts that must be refused: the exit and everything that was said. */
  static async startRefused(options: FleetOptions): Promise<Exit & { readonly said: string }> {
    const fleet = new FleetUnderTest(options);
    try {
      const exit = await within('the fleet refuses to start', readyDeadlineMs, fleet.exited);
      return { ...exit, said: fleet.#stdout + fleet.#stderr };
    } finally {
      fleet.#kill();
      fleet.#removeScratch();
    }
  }

  get isReady(): boolean {
    return /^\s*ready\b/m.test(this.#stdout);
  }

  get client(): FleetClient {
    assert.ok(this.#client !== null, 'the fleet is ready');
    return this.#client;
  }

  get screen(): string {
    return this.#stdout;
  }

  get log(): string {
    return this.#stderr;
  }

  get logLines(): Readonly<Record<string, unknown>>[] {
    return this.#stderr.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        return [];
      }
    });
  }

  get curlLine(): string {
    return /^\s*(curl .*)$/m.exec(this.#stdout)?.[1] ?? assert.fail('the screen has no curl line');
  }

  get pid(): number {
    return this.child.pid ?? assert.fail('the fleet has a pid');
  }

  /** Ctrl-C, once: resolves with the exit when nothing is left. */
  async stop(): Promise<Exit> {
    const tree = this.tree();
    this.interrupt();
    const exit = await within('the fleet ends after Ctrl-C', exitDeadlineMs, this.exited);
    await this.assertNothingLeft(tree);
    return exit;
  }

  interrupt(): void {
    process.kill(this.#isGroup ? -this.pid : this.pid, 'SIGINT');
  }

  /** Everything that it runs, itself included, as seen from outside. */
  tree(): ProcessFacts[] {
    return [...descendantsOf(this.pid), ...findByMark(this.dataDir)];
  }

  async assertNothingLeft(tree: readonly ProcessFacts[]): Promise<void> {
    let left: ProcessFacts[] = [];
    await eventually('nothing is left', goneDeadlineMs, () => {
      left = [...tree.filter(isAlive), ...findByMark(this.dataDir)];
      return left.length === 0;
    }).catch(() => assert.fail(`processes are left:\n${describe(left)}`));
  }

  /** For `await using`: however the test ends, the fleet does, too. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Stops it if it runs, asserts that nothing is left, removes the files. */
  async close(): Promise<void> {
    try {
      if (this.#exit === null) {
        const exit = await this.stop();
        assert.deepEqual(exit, { code: 0, signal: null }, `the exit after Ctrl-C\n${this.#stderr.slice(-2000)}`);
      }
    } finally {
      this.#kill();
      this.#removeScratch();
    }
  }

  #kill(): void {
    try {
      process.kill(this.#isGroup ? -this.pid : this.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  #removeScratch(): void {
    if (this.#scratch !== null) rmSync(this.#scratch, { recursive: true, force: true, maxRetries: 3 });
  }

  #urlOnScreen(): string {
    return /\bhttp:\/\/\S+:\d+/.exec(this.#stdout)?.[0] ?? assert.fail('the screen has no URL');
  }

  #tokenOnScreen(): string {
    return /\bcf_[A-Za-z0-9_-]+/.exec(this.#stdout)?.[0] ?? assert.fail('the screen has no token');
  }

  /** A worker's callers are programs: it prints no token. */
  #tokenInFile(): string {
    return readFileSync(path.join(this.dataDir, 'token'), 'utf8').trim();
  }
}
