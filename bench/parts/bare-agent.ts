// `codex app-server` over stdio with nothing of ours in between: no cage, no door, no proxy, no parsing
// beyond the search for the end of the turn. Same settings, same thread and turn parameters as a slot's.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CodexBinary } from '../../src/codex/binary.ts';
import { prepareSlotDir } from '../../src/codex/home.ts';
import { mintId } from '../../src/core/ids.ts';
import { buildInitialize, buildThreadResume, buildTurnStart } from '../../src/protocol/policy.ts';
import { seedRollout } from '../../src/protocol/rollout.ts';
import type { Lab } from '../harness/benchmark.ts';

export type BareTurn = {
  readonly wholeMs: number;
  /** From the start to the last delta. */
  readonly lastDeltaMs: number;
  /** From the first delta to the last; 0 with fewer than two. */
  readonly deltasMs: number;
  readonly deltas: number;
};

const newline = 0x0a;
const deltaMark = Buffer.from('"method":"item/agentMessage/delta"');
const endMark = Buffer.from('"method":"turn/completed"');
const turnLimitMs = 20_000;

/** A thread that no process has loaded. */
export type BareThread = {
  readonly id: string;
  /** Holds `home`, `ws` and `tmp`. */
  readonly dir: string;
};

export class BareAgent {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #sessionId: string;
  readonly #workspace: string;
  #rest: Buffer = Buffer.alloc(0);
  #onLine: (line: Buffer) => void = () => {};
  #nextId = 1;

  private constructor(child: ChildProcessWithoutNullStreams, { dir, id }: BareThread) {
    this.#child = child;
    this.#sessionId = id;
    this.#workspace = path.join(dir, 'ws');
    child.stderr.resume();
    child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  /** With a thread of its own that has no turns. */
  static async start(lab: Lab, binary: CodexBinary, baseUrl: string): Promise<BareAgent> {
    const dir = await bareDir(lab, baseUrl);
    const id = mintId();
    await seedThread(path.join(dir, 'home'), id, binary.version);
    return await BareAgent.resume(lab, binary, { dir, id });
  }

  /** Starts the process, initialises it, loads the thread. */
  static async resume(lab: Lab, binary: CodexBinary, thread: BareThread): Promise<BareAgent> {
    const child = spawn(binary.codexPath, ['app-server', '--strict-config'], {
      cwd: path.join(thread.dir, 'ws'),
      env: bareEnvironment(binary, thread.dir),
      stdio: 'pipe',
    });
    lab.defer(() => ended(child));
    const agent = new BareAgent(child, thread);
    await agent.#call('initialize', buildInitialize('0.0.0'));
    agent.#send({ method: 'initialized' });
    await agent.#call(
      'thread/resume',
      buildThreadResume({
        sessionId: thread.id,
        credential: 'none',
        instructions: null,
        workspacePath: agent.#workspace,
        model: 'demo',
      }),
    );
    return agent;
  }

  async stop(): Promise<void> {
    await ended(this.#child);
  }

  /** From the writing of turn/start to the reading of turn/completed. */
  async turn(prompt: string): Promise<BareTurn> {
    const over = Promise.withResolvers<BareTurn>();
    const timer = setTimeout(() => over.reject(new Error('a bare turn did not end')), turnLimitMs);
    let deltas = 0;
    let firstMs = 0;
    let lastMs = 0;
    const startedMs = performance.now();
    this.#onLine = (line) => {
      if (line.includes(deltaMark)) {
        lastMs = performance.now();
        if (deltas === 0) firstMs = lastMs;
        deltas += 1;
      } else if (line.includes(endMark)) {
        over.resolve({
          wholeMs: performance.now() - startedMs,
          lastDeltaMs: lastMs - startedMs,
          deltasMs: lastMs - firstMs,
          deltas,
        });
      }
    };
    this.#send({
      id: this.#nextId++,
      method: 'turn/start',
      params: buildTurnStart({
        sessionId: this.#sessionId,
        prompt,
        approvals: 'never',
        model: 'demo',
        workspacePath: this.#workspace,
        sandbox: 'workspace-write',
        network: false,
      }),
    });
    try {
      return await over.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async #call(method: string, params: unknown): Promise<void> {
    const id = this.#nextId++;
    const answered = Promise.withResolvers<void>();
    this.#onLine = (line) => {
      const message = JSON.parse(line.toString('utf8')) as { id?: unknown; method?: unknown; error?: unknown };
      if (message.id !== id || message.method !== undefined) return;
      if (message.error === undefined) answered.resolve();
      else answered.reject(new Error(`${method}: ${JSON.stringify(message.error)}`));
    };
    this.#send({ id, method, params });
    await answered.promise;
  }

  #send(message: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline, start)) {
      this.#onLine(bytes.subarray(start, end));
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
  }
}

/** Where a bare Codex works: its home as a slot's, not yet initialised. */
export async function bareDir(lab: Lab, baseUrl: string): Promise<string> {
  const dir = path.join(lab.dir, mintId());
  await mkdir(dir, { recursive: true });
  await prepareSlotDir(dir, {
    config: { model: 'demo', streamIdleTimeoutMs: 60_000, fleetVersion: '0.0.0' },
    baseUrl,
    template: null,
  });
  return dir;
}

async function seedThread(home: string, sessionId: string, codexVersion: string): Promise<void> {
  const seed = seedRollout({ sessionId, createdAtMs: Date.now(), codexVersion, modelProvider: 'fleet' });
  const file = path.join(home, seed.relativePath);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, seed.line);
}

export function bareEnvironment(binary: CodexBinary, dir: string): Record<string, string> {
  return {
    PATH: `${path.join(binary.vendorDir, 'codex-resources')}:/usr/local/bin:/usr/bin:/bin`,
    HOME: path.join(dir, 'home'),
    CODEX_HOME: path.join(dir, 'home'),
    TMPDIR: path.join(dir, 'tmp'),
    LANG: 'C.UTF-8',
  };
}

export async function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}
