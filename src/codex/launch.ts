// Starts the watchdog with Codex below it, in a cage or without one, and knows how to end it whole.
// What is said over the pipes, and when the end has come, is for agent-process.ts.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ServiceError } from '../core/errors.ts';
import type { CodexBinary } from './binary.ts';
import {
  agentEnvironment,
  cageArguments,
  cagedCodexPath,
  cagedPaths,
  type CageNetwork,
  type SystemDir,
} from './cage.ts';
import { doorScript, launchFds, watchdogScript } from './launch-scripts.ts';
import { childrenOf } from './process-tree.ts';

export type Isolation =
  | {
      readonly kind: 'cage';
      readonly network: CageNetwork;
      readonly kitDir: string;
      readonly systemDirs: readonly SystemDir[];
      readonly readOnlyPaths: readonly string[];
    }
  /** The prefix puts the agent into a PID namespace, so that it ends whole; empty where none can be made. */
  | { readonly kind: 'uncaged'; readonly pidNamespacePrefix: readonly string[] };

/** Where the agent sees its workspace and home. */
export type AgentPaths = { readonly ws: string; readonly home: string };

export type Launch = {
  readonly child: ChildProcess;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly heartbeat: Socket;
  /** Ends every process of the agent's, as far as this isolation can. */
  readonly killAll: () => void;
};

const uncagedPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function agentPaths(isolation: Isolation, slotDir: string): AgentPaths {
  if (isolation.kind === 'cage') return { ws: cagedPaths.ws, home: cagedPaths.home };
  return { ws: path.join(slotDir, 'ws'), home: path.join(slotDir, 'home') };
}

/** Whether the agent's network holds nothing but the door that it opens itself. */
export function hasOwnNetwork(isolation: Isolation): boolean {
  return isolation.kind === 'cage' && isolation.network === 'none';
}

export function launchAgent(options: {
  readonly binary: CodexBinary;
  readonly isolation: Isolation;
  readonly slotDir: string;
  readonly heartbeatLimitMs: number;
}): Launch {
  const { isolation, slotDir } = options;
  const [command, ...args] = commandLine(options);
  if (command === undefined)
    throw new ServiceError('agent_start_failed', {}, { message: 'there is no command to start' });
  const info = isolation.kind === 'cage' ? CageInfo.open(slotDir) : null;
  const child = spawn(command, args, {
    cwd: path.join(slotDir, 'tmp'),
    env: isolation.kind === 'cage' ? {} : uncagedEnvironment(options.binary, slotDir),
    // A process group of its own: an interrupt at the terminal is for us to act on, not for the agents.
    detached: true,
    stdio: [
      ...(['ignore', 'ignore', 'pipe', hasOwnNetwork(isolation) ? 'ipc' : 'ignore', 'pipe', 'pipe', 'pipe'] as const),
      info?.fd ?? 'ignore',
    ],
  });
  // Heard by whoever waits for the exit too; here so that a start that throws below leaves no unheard error.
  child.on('error', ignoreClosedPipe);
  const closeInfo = (): void => info?.close();
  child.once('exit', closeInfo).once('error', closeInfo);
  for (const pipe of child.stdio) pipe?.on('error', ignoreClosedPipe);
  return {
    child,
    stdin: stream(child, launchFds.agentStdin),
    stdout: stream(child, launchFds.agentStdout),
    stderr: stream(child, 2),
    heartbeat: stream(child, launchFds.heartbeat),
    killAll: () => killAll(child, isolation, info),
  };
}

function commandLine(options: Parameters<typeof launchAgent>[0]): string[] {
  const { binary, isolation, slotDir } = options;
  const watchdog = ['/bin/bash', '-c', watchdogScript, 'watchdog', String(options.heartbeatLimitMs / 1000)];
  if (isolation.kind === 'uncaged') {
    const wholeGroup = isolation.pidNamespacePrefix.length === 0 ? 'group' : '';
    return [
      ...isolation.pidNamespacePrefix,
      ...watchdog,
      '',
      wholeGroup,
      binary.codexPath,
      'app-server',
      '--strict-config',
    ];
  }
  if (binary.bwrapPath === null)
    throw new ServiceError('agent_start_failed', {}, { message: 'this Codex brings no bubblewrap' });
  const cage = cageArguments({
    ...isolation,
    vendorDir: binary.vendorDir,
    nodePath: process.execPath,
    slotDir,
    infoFd: launchFds.cageInfo,
  });
  const door = hasOwnNetwork(isolation) ? doorScript : '';
  return [binary.bwrapPath, ...cage, ...watchdog, door, '', cagedCodexPath, 'app-server', '--strict-config'];
}

function uncagedEnvironment(binary: CodexBinary, slotDir: string): Record<string, string> {
  return agentEnvironment({
    home: path.join(slotDir, 'home'),
    tmp: path.join(slotDir, 'tmp'),
    path: `${path.join(binary.vendorDir, 'codex-resources')}:${uncagedPath}`,
  });
}

/**
 * Where bubblewrap writes one small object, with the host's pid of the cage's pid 1. A file without a name
 * and not a pipe: when we die while a cage is being made, a broken pipe makes bubblewrap leave what it has
 * forked, which then waits for ever.
 */
class CageInfo {
  readonly fd: number;
  #isClosed = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  static open(slotDir: string): CageInfo {
    const file = path.join(slotDir, 'cage-info');
    const fd = openSync(file, 'wx+', 0o600);
    unlinkSync(file);
    return new CageInfo(fd);
  }

  /** null while the cage has no pid 1, and once this is closed. */
  initPid(): number | null {
    if (this.#isClosed) return null;
    const text = Buffer.alloc(4_096);
    const length = readSync(this.fd, text, 0, text.length, 0);
    const match = /"child-pid":\s*(\d+)/.exec(text.toString('latin1', 0, length));
    return match === null ? null : Number(match[1]);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.fd);
  }
}

/**
 * The first process of the namespace is killed, not the launcher above it: the kernel ends the others with
 * it, the launcher reaps it and leaves, so that the launcher's exit means that nothing is left. The
 * launcher killed first would leave a dying orphan behind for whoever is pid 1 on this host.
 */
function killAll(child: ChildProcess, isolation: Isolation, info: CageInfo | null): void {
  if (child.pid === undefined) return;
  if (isolation.kind === 'uncaged' && isolation.pidNamespacePrefix.length === 0) {
    // Also after the leader has left: the group lives while a member does.
    kill(-child.pid);
    return;
  }
  if (child.exitCode !== null || child.signalCode !== null) return;
  const below = childrenOf(child.pid);
  const cageInit = info?.initPid() ?? null;
  const init = cageInit !== null && below.includes(cageInit) ? cageInit : below[0];
  if (init !== undefined) kill(init);
  else child.kill('SIGKILL');
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function stream(child: ChildProcess, fd: number): Socket {
  // Node types five; with `stdio` given there are as many as asked for, sockets all.
  const found = (child.stdio as readonly unknown[])[fd];
  if (!(found instanceof Socket))
    throw new ServiceError('agent_start_failed', {}, { message: 'the process could not be started' });
  return found;
}

/** Writing to an agent that is gone: its end is noticed elsewhere, once. */
function ignoreClosedPipe(): void {}
