// A real Redis for tests, on a free port of loopback, with a password; started, stopped, paused and started
// again by them. null where this machine has none.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const missingRedis = 'needs redis-server (Debian: apt-get install redis-server)';

export type RedisPersistence = 'none' | 'everysec' | 'always';

const readyDeadlineMs = 10_000;

export class RedisServer {
  readonly port: number;
  readonly password = 'a-password-of-tests';
  readonly #dir: string;
  readonly #persistence: RedisPersistence;
  readonly #extra: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(port: number, dir: string, persistence: RedisPersistence, extra: readonly string[]) {
    this.port = port;
    this.#dir = dir;
    this.#persistence = persistence;
    this.#extra = extra;
  }

  /** null where there is no redis-server. `extra`: more words of its command line, such as `--maxmemory 4mb`. */
  static async start(
    persistence: RedisPersistence = 'none',
    extra: readonly string[] = [],
  ): Promise<RedisServer | null> {
    if (!isRedisInstalled()) return null;
    const dir = mkdtempSync(path.join(tmpdir(), 'fleet-redis-'));
    const server = new RedisServer(await freePortOfLoopback(), dir, persistence, extra);
    await server.startAgain();
    return server;
  }

  get url(): string {
    return `redis://:${this.password}@127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? assert.fail('the Redis of the test runs');
  }

  /** After `kill9`, with what its persistence kept. */
  async startAgain(): Promise<void> {
    assert.equal(this.#child, null);
    const child = spawn(
      'redis-server',
      [
        ...['--port', String(this.port), '--bind', '127.0.0.1', '--requirepass', this.password, '--dir', this.#dir],
        ...['--save', '', '--appendonly', this.#persistence === 'none' ? 'no' : 'yes'],
        ...(this.#persistence === 'none' ? [] : ['--appendfsync', this.#persistence]),
        ...['--enable-debug-command', 'yes', '--loglevel', 'warning', ...this.#extra],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.#child = child;
    const endMs = performance.now() + readyDeadlineMs;
    while (!(await answers(this.port, this.password))) {
      assert.equal(child.exitCode, null, 'redis-server ended at its start');
      assert.ok(performance.now() < endMs, 'redis-server is ready in time');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** No chance to save anything. */
  async kill9(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    // A stopped process would not notice SIGKILL's kin; this one it does.
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await exited;
  }

  /** Connections stay, and nothing is answered. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill9();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export function isRedisInstalled(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export async function freePortOfLoopback(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(port: number, password: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    let said = '';
    const end = (isReady: boolean): void => {
      socket.destroy();
      resolve(isReady);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.on('error', () => end(false));
    socket.on('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.on('data', (data) => {
      said += data.toString('latin1');
      if (said.includes('+PONG')) end(true);
      else if (said.includes('-LOADING')) end(false);
    });
  });
}
