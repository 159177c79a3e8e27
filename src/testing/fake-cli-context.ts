// The process as the commands see it, for tests: outputs that are kept, signals that are calls, and a
// clock on which short waits are over at once and long deadlines never come.

import { setImmediate as afterThisTurn } from 'node:timers';
import type { CliContext, FleetParts } from '../cli/cli-context.ts';
import { loadConfig } from '../config/load.ts';
import type { Clock } from '../core/clock.ts';
import type { Kubectl } from '../deploy/kubectl.ts';

export type FakeCli = {
  readonly context: CliContext;
  stdout(): string;
  stderr(): string;
  interrupt(): void;
  readonly clock: ShortWaitClock;
};

export type FakeCliOptions = {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array;
  readonly isTerminal?: boolean;
  readonly parts?: Partial<FleetParts>;
  readonly kubectl?: Kubectl;
};

export class ShortWaitClock implements Clock {
  static readonly longestWaitMs = 5_000;
  #nowMs = 0;

  now(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs > ShortWaitClock.longestWaitMs) return () => {};
    const immediate = afterThisTurn(() => {
      this.#nowMs += delayMs;
      callback();
    });
    return () => clearImmediate(immediate);
  }
}

export function createFakeCli(options: FakeCliOptions = {}): FakeCli {
  const written = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  const clock = new ShortWaitClock();
  const env = options.env ?? {};
  const isTerminal = options.isTerminal ?? false;
  const output = (name: 'stdout' | 'stderr') => ({
    isTerminal,
    write: async (text: string) => {
      written[name] += text;
    },
  });
  const absent = async (): Promise<never> => {
    throw new Error('this test has no such part');
  };
  return {
    clock,
    stdout: () => written.stdout,
    stderr: () => written.stderr,
    interrupt: () => {
      for (const listener of listeners) listener();
    },
    context: {
      env,
      stdin: Object.assign(
        (async function* () {
          if (options.stdin !== undefined) yield options.stdin;
        })(),
        { isTTY: options.stdin === undefined },
      ),
      stdout: output('stdout'),
      stderr: output('stderr'),
      clock,
      onInterrupt: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      loadConfig: (flags, configFile, role) =>
        loadConfig({
          env,
          flags,
          readFile: () => null,
          facts: {
            cores: 2,
            memoryBytes: 4e9,
            hostname: 'test',
            homeDir: '/nowhere',
            cwd: '/nowhere',
            stderrIsTerminal: isTerminal,
          },
          ...(configFile === undefined ? {} : { configFile }),
          ...(role === undefined ? {} : { role }),
        }),
      parts: {
        startEmbedded: absent,
        startWorker: absent,
        startGateway: absent,
        startSessionManager: absent,
        startModelProxy: absent,
        diagnose: absent,
        discoverFleet: async () => null,
        ...options.parts,
      },
      kubectl: options.kubectl ?? absent,
    },
  };
}
