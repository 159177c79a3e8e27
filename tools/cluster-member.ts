// One process of a local cluster: started, heard, started again when it dies, asked to stop.

import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';

export const roles = ['redis', 'model-proxy', 'worker', 'session-manager', 'gateway'] as const;
export type Role = (typeof roles)[number];

export type MemberFacts = {
  /** Such as `worker-2`. */
  readonly name: string;
  readonly role: Role;
  /** null while it is not running. */
  readonly pid: number | null;
  /** Where it listens, once it has said so; until then, where it did in its life before. */
  readonly url: string | null;
  /** How often it was started. */
  readonly starts: number;
};

export type MemberCommand = { readonly words: readonly string[]; readonly env: NodeJS.ProcessEnv };

const repository = path.dirname(import.meta.dirname);
const stopDeadlineMs = 60_000;
const firstRestartMs = 200;
const longestRestartMs = 5_000;
/** Of a member that has run for so long, the next death is the first again. */
const settledMs = 10_000;
const keptCharacters = 256 * 1024;

export class Member {
  readonly name: string;
  readonly role: Role;
  readonly #command: (member: Member) => MemberCommand;
  readonly #onChange: () => void;
  readonly #onLine: (line: string) => void;
  child: ChildProcess | null = null;
  url: string | null = null;
  starts = 0;
  /** Asked to stop, or not wanted to run for now. */
  isHeldDown = false;
  said = '';
  #hasSaidUrl = false;
  #ready = Promise.withResolvers<void>();
  #restartMs = firstRestartMs;
  #restartTimer: NodeJS.Timeout | null = null;

  constructor(
    name: string,
    role: Role,
    command: (member: Member) => MemberCommand,
    onChange: () => void,
    onLine: (line: string) => void,
  ) {
    this.name = name;
    this.role = role;
    this.#command = command;
    this.#onChange = onChange;
    this.#onLine = onLine;
    this.#ready.promise.catch(() => undefined);
  }

  get facts(): MemberFacts {
    return { name: this.name, role: this.role, pid: this.child?.pid ?? null, url: this.url, starts: this.starts };
  }

  /** Resolves when it has said that it is ready, in this life of it. */
  start(): Promise<void> {
    if (this.child !== null) return this.#ready.promise;
    this.isHeldDown = false;
    this.#ready = Promise.withResolvers();
    this.#ready.promise.catch(() => undefined);
    this.starts += 1;
    this.#hasSaidUrl = false;
    const { words, env } = this.#command(this);
    const [program = '', ...args] = words;
    const startedAtMs = performance.now();
    const child = spawn(program, args, { cwd: repository, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    const { reject } = this.#ready;
    child.once('error', reject);
    for (const stream of [child.stdout, child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.said = (this.said + text).slice(-keptCharacters);
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.#hear(line, stream === child.stdout);
      });
    }
    child.once('close', (code, signal) => {
      this.child = null;
      reject(new Error(`${this.name} ended (${signal ?? `exit code ${code}`})\n${this.said.slice(-2_000)}`));
      this.#onChange();
      if (this.isHeldDown) return;
      if (performance.now() - startedAtMs > settledMs) this.#restartMs = firstRestartMs;
      this.#restartTimer = setTimeout(() => void this.start().catch(() => undefined), this.#restartMs);
      this.#restartMs = Math.min(longestRestartMs, this.#restartMs * 2);
    });
    this.#onChange();
    return this.#ready.promise;
  }

  becomeReady(): void {
    this.#ready.resolve();
    this.#onChange();
  }

  /** Asks it to stop and sees that it does. */
  async stop(): Promise<void> {
    this.isHeldDown = true;
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    const { child } = this;
    if (child === null) return;
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs);
    await exited;
    clearTimeout(timer);
  }

  /** No chance to say goodbye. It is started again unless it is held down. */
  async kill9(options: { readonly holdDown?: boolean } = {}): Promise<void> {
    const { child } = this;
    this.isHeldDown = options.holdDown ?? false;
    if (child === null) return;
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.kill('SIGKILL');
    await exited;
  }

  #hear(line: string, isStdout: boolean): void {
    this.#onLine(line);
    if (!isStdout) return;
    const url = /\bhttp:\/\/\S+:\d+/.exec(line)?.[0];
    if (url !== undefined && !this.#hasSaidUrl) {
      this.url = url;
      this.#hasSaidUrl = true;
    }
    if (line.trim() === 'ready') this.becomeReady();
  }
}
