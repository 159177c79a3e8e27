// Real Codex processes for tests: a place of their own, a model that says what the test wants, and a
// close that fails when a process is left.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type AgentNotification, type AgentOptions, type AgentProcess, startAgent } from '../codex/agent-process.ts';
import { type CodexBinary, locateCodex } from '../codex/binary.ts';
import { readSystemDirs, writeCageKit } from '../codex/cage-kit.ts';
import type { Isolation } from '../codex/launch.ts';
import { childrenOf } from '../codex/process-tree.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { createLogger } from '../observability/logger.ts';
import { seedRollout } from '../protocol/rollout.ts';

/** What the model does with one request: any of its items, or nothing for ever. */
export type ModelReply =
  | { readonly text: string }
  | { readonly command: string /** Asks to run it outside the sandbox, for this reason. */; readonly outside?: string }
  | 'stall';
export type ModelCall = { readonly authorization: string | undefined; readonly body: string };

export type LabAgent = AgentProcess & {
  readonly slotDir: string;
  readonly notifications: AgentNotification[];
  /** Resolves with the first notification of that method, past or to come. */
  heard(method: string): Promise<AgentNotification>;
};

export class AgentLab {
  readonly root: string;
  readonly binary: CodexBinary;
  readonly cage: Isolation;
  readonly modelCalls: ModelCall[] = [];
  readonly #agents: AgentProcess[] = [];
  readonly #model: http.Server;
  #replies: ModelReply[] = [];

  private constructor(root: string, binary: CodexBinary, cage: Isolation) {
    this.root = root;
    this.binary = binary;
    this.cage = cage;
    this.#model = http.createServer((request, response) => void this.#answer(request, response));
  }

  static async open(): Promise<AgentLab> {
    const root = await mkdtemp(path.join(tmpdir(), 'agent-lab-'));
    const kitDir = path.join(root, 'kit');
    await writeCageKit(kitDir);
    const systemDirs = await readSystemDirs();
    const cage: Isolation = { kind: 'cage', network: 'none', kitDir, systemDirs, readOnlyPaths: [] };
    const lab = new AgentLab(root, await locateCodex(), cage);
    await new Promise<void>((resolve) => lab.#model.listen(lab.modelSocket, resolve));
    return lab;
  }

  get modelSocket(): string {
    return path.join(this.root, 'model.sock');
  }

  /** One per request, in order; afterwards the model says "done". */
  modelSays(...replies: ModelReply[]): void {
    this.#replies = replies;
  }

  agentOptions(slotDir: string, changes: Partial<AgentOptions> = {}): AgentOptions {
    return {
      binary: this.binary,
      isolation: this.cage,
      slotDir,
      homeTemplate: null,
      config: { model: 'demo', streamIdleTimeoutMs: 30_000, fleetVersion: 'test' },
      modelUpstream: { socketPath: this.modelSocket },
      heartbeatLimitMs: 10_000,
      startDeadlineMs: 20_000,
      clock: new SystemClock(),
      logger: createLogger({ level: 'silent', role: 'test' }),
      onNotification: () => {},
      onServerRequest: async () => ({ error: { code: -32601, message: 'not in this test' } }),
      ...changes,
    };
  }

  async start(changes: Partial<AgentOptions> = {}): Promise<LabAgent> {
    const slotDir = await mkdtemp(path.join(this.root, 'slot-'));
    const notifications: AgentNotification[] = [];
    const waiting: { method: string; resolve: (notification: AgentNotification) => void }[] = [];
    const agent = await startAgent({
      ...this.agentOptions(slotDir, changes),
      onNotification(notification) {
        notifications.push(notification);
        for (const waiter of waiting) if (waiter.method === notification.method) waiter.resolve(notification);
      },
    });
    this.#agents.push(agent);
    const heard = (method: string): Promise<AgentNotification> => {
      const past = notifications.find((notification) => notification.method === method);
      return past === undefined ? new Promise((resolve) => waiting.push({ method, resolve })) : Promise.resolve(past);
    };
    return Object.assign(agent, { slotDir, notifications, heard });
  }

  /** Seeds a thread of that id in the agent's home, as a new session's first rollout. */
  async seedThread(agent: LabAgent, sessionId: string): Promise<void> {
    const seed = { sessionId, createdAtMs: Date.now(), codexVersion: this.binary.version, modelProvider: 'fleet' };
    const { relativePath, line } = seedRollout(seed);
    const file = path.join(agent.slotDir, 'home', relativePath);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, line);
  }

  async close(): Promise<void> {
    const left = this.#agents.flatMap((agent) => descendantsOf(agent.launcherPid));
    await Promise.all(this.#agents.map((agent) => agent.kill()));
    this.#model.closeAllConnections();
    await new Promise((resolve) => this.#model.close(resolve));
    await rm(this.root, { recursive: true, force: true });
    assert.deepEqual(left.filter(isAlive), []);
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    if (request.url?.endsWith('/responses') !== true) {
      response.writeHead(404).end();
      return;
    }
    this.modelCalls.push({
      authorization: request.headers.authorization,
      body: Buffer.concat(pieces).toString('utf8'),
    });
    const reply = this.#replies.shift() ?? { text: 'done' };
    if (reply === 'stall') return;
    const n = this.modelCalls.length;
    const item =
      'text' in reply
        ? { type: 'message', id: `m${n}`, role: 'assistant', content: [{ type: 'output_text', text: reply.text }] }
        : {
            type: 'function_call',
            id: `f${n}`,
            call_id: `c${n}`,
            name: 'exec_command',
            arguments: JSON.stringify({
              cmd: reply.command,
              ...(reply.outside === undefined
                ? {}
                : { sandbox_permissions: 'require_escalated', justification: reply.outside }),
            }),
          };
    const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of [
      { type: 'response.created', response: { id: `r${n}` } },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: { id: `r${n}`, usage } },
    ]) {
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    }
    response.end();
  }
}

/** Every process below this one, by the host's pids; a cage's first process is the parent of its orphans. */
export function descendantsOf(pid: number): number[] {
  const children = childrenOf(pid);
  return [...children, ...children.flatMap(descendantsOf)];
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Waits for what no event tells: asks every 20 ms. */
export async function eventually(isTrue: () => boolean, limitMs: number, what: string): Promise<void> {
  const end = performance.now() + limitMs;
  while (!isTrue()) {
    if (performance.now() > end) assert.fail(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
