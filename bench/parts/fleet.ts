// A running fleet for a benchmark, and the short ways to ask it things.

import path from 'node:path';
import { Client } from 'undici';
import type { CommandResponse } from '../../src/api/commands.ts';
import type { ExecResponse } from '../../src/api/exec.ts';
import { mintId } from '../../src/core/ids.ts';
import type { WorkerResource } from '../../src/api/fleet.ts';
import type { Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import type { FleetReady } from './fleet-child.ts';

const warmLimitMs = 20_000;

export class Fleet {
  readonly child: Child;
  readonly url: string;
  readonly dataDir: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #client: Client;

  private constructor(child: Child, dataDir: string, { url, token }: FleetReady) {
    this.child = child;
    this.dataDir = dataDir;
    this.url = url;
    this.headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    this.#client = new Client(url);
  }

  static async start(lab: Lab, slots: number, warmSlots: number): Promise<Fleet> {
    const dataDir = path.join(lab.dir, mintId());
    const flags = {
      '--port': '0',
      '--data-dir': dataDir,
      '--slots': String(slots),
      '--warm-slots': String(warmSlots),
      '--model-provider': 'demo',
      // As it runs in production: log lines are made, and go to a file.
      '--log-format': 'json',
      '--log-level': 'info',
    };
    const { child, ready } = await Child.start<FleetReady>(lab, 'fleet-child.ts', { flags });
    const fleet = new Fleet(child, dataDir, ready);
    lab.defer(() => fleet.#client.destroy());
    await fleet.isWarm(Math.max(1, warmSlots));
    return fleet;
  }

  async post(route: string, body: unknown): Promise<{ readonly status: number; readonly text: string }> {
    return await this.#request('POST', route, JSON.stringify(body));
  }

  async get<T>(route: string): Promise<T> {
    return JSON.parse((await this.#request('GET', route, null)).text) as T;
  }

  async exec(prompt: string, sessionId: string | null): Promise<ExecResponse> {
    const { status, text } = await this.post('/api/v1/exec', {
      prompt,
      ...(sessionId === null ? {} : { session_id: sessionId }),
    });
    const answer = JSON.parse(text) as ExecResponse;
    if (status !== 200 || answer.status !== 'completed') throw new Error(`exec: ${status} ${text}`);
    return answer;
  }

  /** Runs a line of the shell in the session's workspace; what it changes is committed. */
  async command(sessionId: string, command: string): Promise<string> {
    const { status, text } = await this.post(`/api/v1/sessions/${sessionId}/commands`, { command });
    const answer = JSON.parse(text) as CommandResponse;
    if (status !== 200 || answer.exit_code !== 0) throw new Error(`command: ${status} ${text}`);
    return answer.stdout;
  }

  async hibernate(sessionId: string): Promise<void> {
    await this.#change(sessionId, 'hibernate');
  }

  /** Resolves when the session is bound and its thread loaded. */
  async wake(sessionId: string): Promise<void> {
    await this.#change(sessionId, 'wake');
  }

  async erase(sessionId: string): Promise<void> {
    await this.#request('DELETE', `/api/v1/sessions/${sessionId}`, null);
  }

  /** Resolves when so many slots are started and idle. */
  async isWarm(idleSlots: number): Promise<void> {
    const end = performance.now() + warmLimitMs;
    while (performance.now() < end) {
      const { data } = await this.get<{ data: WorkerResource[] }>('/api/v1/workers');
      if ((data[0]?.slots.idle ?? 0) >= idleSlots) return;
      await sleep(20);
    }
    throw new Error(`the fleet has not ${idleSlots} warm slots within ${warmLimitMs} ms`);
  }

  async #change(sessionId: string, what: 'hibernate' | 'wake'): Promise<void> {
    const { status, text } = await this.#request('POST', `/api/v1/sessions/${sessionId}/${what}`, null);
    if (status !== 200) throw new Error(`${what}: ${status} ${text}`);
  }

  async #request(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body: string | null,
  ): Promise<{ status: number; text: string }> {
    const answer = await this.#client.request({ method, path, headers: this.headers, body });
    return { status: answer.statusCode, text: await answer.body.text() };
  }
}
