// How an agent's end is told: by whom, with which code or signal, and what it last said.

import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { Clock } from '../core/clock.ts';
import { heartbeatLostExitCode } from './launch-scripts.ts';

export type AgentExit = {
  /** exited: by itself, a crash when a turn runs; the others say who ended it. */
  readonly reason: 'exited' | 'stopped' | 'killed' | 'heartbeat_lost' | 'garbled';
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderrTail: string;
};

export type EndedBy = 'stopped' | 'killed' | 'garbled';

/** `code` and `signal` are the launcher's, which passes on those of Codex. */
export function describeEnd(
  code: number | null,
  signal: string | null,
  endedBy: EndedBy | null,
): Omit<AgentExit, 'stderrTail'> {
  const heartbeatLost = endedBy === null && code === heartbeatLostExitCode;
  const reason = heartbeatLost ? 'heartbeat_lost' : (endedBy ?? 'exited');
  // The watchdog and the launchers say 128 + n of a process that a signal ended.
  if (code !== null && code > 128) return { reason, exitCode: null, signal: signalName(code - 128) };
  return { reason, exitCode: code, signal };
}

/** What a process wrote before it ended may still be on its way: waits for its pipes to end, `limitMs` at most. */
export function lastWords(pipes: readonly Readable[], clock: Clock, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(limitMs, resolve);
    void Promise.all(pipes.map(ended)).then(() => {
      cancel();
      resolve();
    });
  });
}

function ended(pipe: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (pipe.closed || pipe.readableEnded) resolve();
    else pipe.once('end', resolve).once('close', resolve);
  });
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
