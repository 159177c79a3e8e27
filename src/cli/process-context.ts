// The commands' context made of the real process: its streams, its signals, its clock.

import { readEnvironment } from '../config/host-facts.ts';
import { loadConfigFromProcess } from '../config/load-from-process.ts';
import type { Clock } from '../core/clock.ts';
import { runKubectl } from '../deploy/kubectl.ts';
import type { CliContext, FleetParts } from './cli-context.ts';
import { createOutput } from './output.ts';

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function createProcessContext(parts: FleetParts): CliContext {
  const listeners = new Set<() => void>();
  const interrupt = (): void => {
    for (const listener of listeners) listener();
  };
  return {
    env: readEnvironment(),
    stdin: process.stdin,
    // Nobody reads the answer any more: as good as a Ctrl-C.
    stdout: createOutput(process.stdout, interrupt),
    stderr: createOutput(process.stderr, () => {}),
    clock,
    onInterrupt: (listener) => {
      // Signals end the process as usual while no command listens.
      if (listeners.size === 0) for (const signal of stopSignals) process.on(signal, interrupt);
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) for (const signal of stopSignals) process.off(signal, interrupt);
      };
    },
    loadConfig: loadConfigFromProcess,
    parts,
    kubectl: runKubectl,
  };
}

const clock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
