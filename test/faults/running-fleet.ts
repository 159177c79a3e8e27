// A fleet that is killed and started again on the same data directory. Owns its processes and proves that
// none outlives a kill; what is said to it is the client's part (test/e2e/fleet-client.ts).

import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { eventually, within } from '../e2e/eventually.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { plainEnvironment, repository, type Exit } from '../e2e/fleet-under-test.ts';
import { descendantsOf, describe, findByMark, isAlive, type ProcessFacts } from '../e2e/processes.ts';

export type FleetSetup = {
  readonly dataDir: string;
  /** For a home and compiled code. Default: where `dataDir` is. */
  readonly beside?: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The file that is run, and what comes before the command's own words. Default: the product's. */
  readonly entry?: readonly string[];
};

const startDeadlineMs = 30_000;
const stopDeadlineMs = 45_000;
const goneDeadlineMs = 2_000;
const keptOutputCharacters = 64 * 1024;

type Life = {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly exited: Promise<Exit>;
  readonly said: { stdout: string; stderr: string };
  exit: Exit | null;
  client: FleetClient | null;
  /** What ran below it when it became ready; the cages made later are found by the data directory. */
  tree: readonly ProcessFacts[];
};

/** A start that was not one: it ended before it was ready. */
export class EndedAtStart extends Error {
  readonly exit: Exit;

  constructor(exit: Exit, said: string) {
    super(`the fleet ended at its start with ${JSON.stringify(exit)}\n${said}`);
    this.name = 'EndedAtStart';
    this.exit = exit;
  }
}

export class RunningFleet {
  readonly #setup: FleetSetup;
  #life: Life;
  #starts = 0;

  private constructor(setup: FleetSetup) {
    this.#setup = setup;
    this.#life = this.#spawn(setup.entry);
  }

  /** Resolves when it says `ready`. */
  static async start(setup: FleetSetup): Promise<RunningFleet> {
    await compile(besideOf(setup));
    const fleet = new RunningFleet(setup);
    await fleet.#becomeReady();
    return fleet;
  }

  get client(): FleetClient {
    return this.#life.client ?? assert.fail('the fleet is ready');
  }

  get pid(): number {
    return this.#life.child.pid ?? assert.fail('the fleet has a pid');
  }

  /** Started, and not dead yet. */
  get isReady(): boolean {
    return this.#life.exit === null && this.#life.client !== null;
  }

  /** The end of what this life has logged. */
  get log(): string {
    return this.#life.said.stderr;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** No chance to say goodbye; resolves when everything that it ran is gone, too, within two seconds. */
  async kill9(): Promise<void> {
    const tree = this.#life.exit === null ? this.#tree() : this.#life.tree;
    if (this.#life.exit === null) process.kill(this.pid, 'SIGKILL');
    await this.#assertGone(tree);
  }

  /** Whether it ended by a kill of its own making in that time; any other end is a failure. */
  async killedItself(withinMs: number): Promise<boolean> {
    const exit = await within('the fleet kills itself', withinMs, this.#life.exited).catch(() => null);
    if (exit === null) return false;
    assert.deepEqual(exit, { code: null, signal: 'SIGKILL' }, this.log.slice(-2000));
    await this.#assertGone(this.#life.tree);
    return true;
  }

  /** Kills what runs and starts it again, by default as before. Rejects with EndedAtStart. */
  async restart(entry = this.#setup.entry): Promise<void> {
    await this.kill9();
    this.#life = this.#spawn(entry);
    await this.#becomeReady();
  }

  /** Ctrl-C, and everything in good order. */
  async stop(): Promise<void> {
    const tree = this.#tree();
    process.kill(this.pid, 'SIGINT');
    const exit = await within('the fleet ends after Ctrl-C', stopDeadlineMs, this.#life.exited);
    await this.#assertGone(tree);
    assert.deepEqual(exit, { code: 0, signal: null }, this.log.slice(-2000));
  }

  /** For `await using`: however the test ends. What is wrong now must not hide why it failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9().catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
  }

  #spawn(entry: readonly string[] = ['src/cli/main.ts']): Life {
    const { dataDir, env, flags } = this.#setup;
    const beside = besideOf(this.#setup);
    const home = path.join(beside, 'home');
    mkdirSync(home, { recursive: true });
    this.#starts += 1;
    const words = [...entry, 'up', '--port', '0', '--data-dir', dataDir, '--slots', '4', '--warm-slots', '2'];
    const child = spawn('sh', ['bin/run-node.sh', '--die-with-parent', ...words, ...(flags ?? [])], {
      cwd: repository,
      env: { ...plainEnvironment(home), NODE_COMPILE_CACHE: path.join(beside, 'compiled'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        said[stream] = (said[stream] + text).slice(-keptOutputCharacters);
      });
    }
    const { promise: exited, resolve, reject } = Promise.withResolvers<Exit>();
    const life: Life = { child, exited, said, exit: null, client: null, tree: [] };
    child.once('error', reject);
    child.once('close', (code, signal) => {
      life.exit = { code, signal };
      resolve(life.exit);
    });
    return life;
  }

  async #becomeReady(): Promise<void> {
    const life = this.#life;
    try {
      await eventually('the fleet says ready', startDeadlineMs, () => {
        if (life.exit !== null) throw new EndedAtStart(life.exit, life.said.stdout + life.said.stderr);
        return /^\s*ready\b/m.test(life.said.stdout);
      });
    } catch (error) {
      if (life.exit === null) life.child.kill('SIGKILL');
      throw error;
    }
    const url = /\bhttp:\/\/\S+:\d+/.exec(life.said.stdout)?.[0] ?? assert.fail('the screen has no URL');
    const token = /\bcf_[A-Za-z0-9_-]+/.exec(life.said.stdout)?.[0] ?? assert.fail('the screen has no token');
    life.client = new FleetClient(url, token);
    life.tree = this.#tree();
  }

  #tree(): ProcessFacts[] {
    return [...descendantsOf(this.pid), ...findByMark(this.#setup.dataDir)];
  }

  async #assertGone(tree: readonly ProcessFacts[]): Promise<void> {
    let left: ProcessFacts[] = [];
    await eventually('nothing is left', goneDeadlineMs, () => {
      left = [...tree.filter(isAlive), ...findByMark(this.#setup.dataDir)];
      return left.length === 0;
    }).catch(() => assert.fail(`processes are left ${goneDeadlineMs} ms after a kill:\n${describe(left)}`));
    await within('the end of the process is seen', goneDeadlineMs, this.#life.exited);
  }
}

function besideOf({ beside, dataDir }: FleetSetup): string {
  return beside ?? path.dirname(dataDir);
}

/** Once for all lives: one that is killed writes no cache, and every start would spend half a second on it. */
async function compile(beside: string): Promise<void> {
  const code = "await import('./src/app/embedded.ts')";
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: repository,
    env: { ...plainEnvironment(beside), NODE_COMPILE_CACHE: path.join(beside, 'compiled') },
  });
}
