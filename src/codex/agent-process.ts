// One Codex process from its start to its end: pipes, handshake, model door, heartbeat, exit. Knows no
// sessions. Its end is noticed when its output ends, whatever it says of itself: exit 0 in mid-turn too.

import net from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { CodexBinary } from './binary.ts';
import { cagedDoorPort, heartbeatLostExitCode } from './launch-scripts.ts';
import { type AgentNotification, Connection, type ProtocolProblem } from './connection.ts';
import { Heartbeat } from './heartbeat.ts';
import { type CodexConfig, prepareSlotDir } from './home.ts';
import { type AgentPaths, agentPaths, hasOwnNetwork, type Isolation, type Launch, launchAgent } from './launch.ts';
import { AgentCalls } from './methods.ts';
import { ModelDoor, type ModelUpstream } from './model-door.ts';
import { findDescendant } from './process-tree.ts';
import type { AgentRequest, RequestAnswer } from './server-requests.ts';
import { TextTail } from './text-tail.ts';

export type { AgentNotification } from './connection.ts';
export type { AgentRequest, RequestAnswer } from './server-requests.ts';

export type AgentOptions = {
  readonly binary: CodexBinary;
  readonly isolation: Isolation;
  /** For this agent alone; ws, home and tmp are made in it. On the file system of the workspaces. */
  readonly slotDir: string;
  readonly homeTemplate: string | null;
  readonly config: CodexConfig;
  readonly modelUpstream: ModelUpstream;
  /** Without a sign of life from us for this long, the watchdog ends the agent. */
  readonly heartbeatLimitMs: number;
  readonly startDeadlineMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onNotification: (notification: AgentNotification, line: string) => void;
  readonly onServerRequest: (request: AgentRequest, signal: AbortSignal) => Promise<RequestAnswer>;
};

export type AgentExit = {
  /** exited: by itself, a crash when a turn runs; the others say who ended it. */
  readonly reason: 'exited' | 'stopped' | 'killed' | 'heartbeat_lost' | 'garbled';
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderrTail: string;
};

export type StopOptions = {
  /** A turn to interrupt first, so that the rollout gets its end. */
  readonly interrupt?: { readonly threadId: string; readonly turnId: string };
  readonly interruptGraceMs?: number;
  readonly termGraceMs?: number;
};

export interface AgentProcess {
  readonly calls: AgentCalls;
  readonly paths: AgentPaths;
  readonly launcherPid: number;
  /** The host's pid of Codex itself; null once it is gone. */
  agentPid(): number | null;
  /** Resolves, and never rejects, when no process of the agent is left. */
  readonly exited: Promise<AgentExit>;
  /** Ends everything in the cage; resolves when it is gone. Waiting calls are rejected at once. */
  kill(): Promise<void>;
  /** Asks, then tells, then kills. Called twice, it is the same stop. */
  stop(options?: StopOptions): Promise<void>;
}

const clientInfo = { name: 'codex_fleet', title: 'Codex Fleet', version: '0.1.0' };
const stderrTailBytes = 8 * 1024;
/** From the end of Codex's output to the end of its launcher. */
const exitGraceMs = 1_000;
/** A process that the kernel cannot end (a dead network disk) must not hold up a stop for ever. */
/** Pipes end with their processes; one that escaped (where there is no cage) may hold them longer. */
const lastWordsMs = 300;
const killDeadlineMs = 15_000;

/** Rejects with `agent_start_failed`; nothing is left running then. */
export async function startAgent(options: AgentOptions): Promise<AgentProcess> {
  const startedAt = options.clock.monotonicMs();
  let agent: RunningAgent | null = null;
  let door: ModelDoor | null = null;
  try {
    let port = cagedDoorPort;
    if (!hasOwnNetwork(options.isolation)) ({ door, port } = await ModelDoor.listen(options.modelUpstream));
    await prepareSlotDir(options.slotDir, { config: options.config, baseUrl: `http://127.0.0.1:${port}/v1`, template: options.homeTemplate });
    agent = new RunningAgent(options, launchAgent(options), door);
    await agent.ready();
  } catch (error) {
    door?.close();
    await agent?.kill();
    const exit = await agent?.exited;
    const said = exit?.stderrTail.trim() ?? '';
    const message = `Codex could not be started: ${said === '' ? (error instanceof Error ? error.message : String(error)) : said}`;
    throw new ServiceError('agent_start_failed', {}, { cause: error, message });
  }
  options.logger.debug(
    { event: 'agent_started', launcher_pid: agent.launcherPid, duration_ms: Math.round(options.clock.monotonicMs() - startedAt) },
    'Codex process started',
  );
  return agent;
}

class RunningAgent implements AgentProcess {
  readonly calls: AgentCalls;
  readonly paths: AgentPaths;
  readonly launcherPid: number;
  readonly exited: Promise<AgentExit>;
  readonly #options: AgentOptions;
  readonly #launch: Launch;
  readonly #connection: Connection;
  readonly #heartbeat: Heartbeat;
  readonly #stderr = new TextTail(stderrTailBytes);
  readonly #doorOpen: Promise<void>;
  #door: ModelDoor | null;
  #endedBy: 'stopped' | 'killed' | 'garbled' | null = null;
  #stopping: Promise<void> | null = null;
  #isGone = false;

  constructor(options: AgentOptions, launch: Launch, door: ModelDoor | null) {
    this.#options = options;
    this.#launch = launch;
    this.#door = door;
    this.launcherPid = launch.child.pid ?? -1;
    this.paths = agentPaths(options.isolation, options.slotDir);
    this.#connection = new Connection({
      write: (bytes) => launch.stdin.write(bytes),
      clock: options.clock,
      onNotification: options.onNotification,
      onServerRequest: options.onServerRequest,
      onProblem: (problem) => this.#reportProblem(problem),
    });
    this.calls = new AgentCalls(this.#connection);
    this.exited = this.#watchExit();
    launch.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    launch.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
    launch.stdout.once('end', () => this.#outputEnded());
    this.#heartbeat = new Heartbeat(launch.heartbeat, options.clock, options.heartbeatLimitMs);
    this.#doorOpen = door === null ? this.#awaitDoor() : Promise.resolve();
  }

  async ready(): Promise<void> {
    await Promise.all([this.calls.initialize(clientInfo, this.#options.startDeadlineMs), this.#doorOpen]);
  }

  agentPid(): number | null {
    return this.#isGone ? null : findDescendant(this.launcherPid, 'codex');
  }

  async kill(): Promise<void> {
    this.#endedBy ??= 'killed';
    this.#connection.close('it was killed');
    this.#launch.killAll();
    await this.#goneWithin(killDeadlineMs);
    if (!this.#isGone) throw new ServiceError('internal', {}, { message: `process ${this.launcherPid} cannot be killed` });
  }

  stop(options: StopOptions = {}): Promise<void> {
    this.#stopping ??= this.#climbDown(options);
    return this.#stopping;
  }

  async #climbDown(options: StopOptions): Promise<void> {
    // Interrupted before its input is closed: the turn's end is then in the rollout.
    if (options.interrupt !== undefined) {
      await this.calls.turnInterrupt(options.interrupt, options.interruptGraceMs ?? 5_000).catch(() => {});
    }
    this.#endedBy ??= 'stopped';
    this.#launch.stdin.end();
    const pid = this.agentPid();
    if (pid !== null) terminate(pid);
    await this.#goneWithin(options.termGraceMs ?? 2_000);
    if (!this.#isGone) await this.kill();
  }

  /** The door is opened inside and handed out; its process has left when the channel closes. */
  #awaitDoor(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { child } = this.#launch;
      const cancel = this.#options.clock.after(this.#options.startDeadlineMs, () => reject(new Error('the model door did not open in time')));
      child.once('message', (_message, handle) => {
        if (!(handle instanceof net.Server)) return;
        this.#door = new ModelDoor(handle, this.#options.modelUpstream);
        if (this.#isGone) this.#door.close();
      });
      child.once('disconnect', () => {
        cancel();
        if (this.#door === null) reject(new Error('the model door did not open'));
        else resolve();
      });
    });
  }

  #receive(chunk: Buffer): void {
    try {
      this.#connection.receive(chunk);
    } catch (error) {
      this.#options.logger.error({ event: 'agent_garbled', launcher_pid: this.launcherPid, err: error }, 'Codex process is not understood');
      this.#endedBy ??= 'garbled';
      this.#connection.close('its output is not understood', error);
      this.#launch.killAll();
    }
  }

  #outputEnded(): void {
    this.#connection.close('its output ended');
    const deadline = this.#options.clock.monotonicMs() + exitGraceMs;
    const look = (): void => {
      if (this.#isGone) return;
      if (this.#options.clock.monotonicMs() >= deadline) this.#launch.killAll();
      else {
        this.#heartbeat.beat();
        this.#options.clock.after(20, look);
      }
    };
    look();
  }

  #watchExit(): Promise<AgentExit> {
    const { child } = this.#launch;
    return new Promise((resolve) => {
      const gone = async (code: number | null, signal: string | null): Promise<void> => {
        if (this.#isGone) return;
        this.#isGone = true;
        this.#heartbeat.stop();
        // Without a namespace, what the agent started may have outlived it.
        this.#launch.killAll();
        this.#door?.close();
        await this.#lastWords();
        this.#connection.close('it ended');
        this.#releasePipes();
        const exit = { ...this.#describeEnd(code, signal), stderrTail: this.#stderr.text() };
        this.#options.logger.debug({ event: 'agent_exited', launcher_pid: this.launcherPid, reason: exit.reason, exit_code: exit.exitCode, signal: exit.signal }, 'Codex process ended');
        resolve(exit);
      };
      child.once('exit', (code, signal) => void gone(code, signal));
      child.once('error', (error) => {
        this.#stderr.push(Buffer.from(error.message));
        if (child.pid === undefined) void gone(null, null);
      });
    });
  }

  #describeEnd(code: number | null, signal: string | null): Omit<AgentExit, 'stderrTail'> {
    if (this.#endedBy !== null) return { reason: this.#endedBy, exitCode: code, signal };
    if (code === heartbeatLostExitCode) return { reason: 'heartbeat_lost', exitCode: null, signal: null };
    // A shell says 128 + n of a process that a signal ended.
    if (code !== null && code > 128) return { reason: 'exited', exitCode: null, signal: signalName(code - 128) };
    return { reason: 'exited', exitCode: code, signal };
  }

  /** What the process wrote before it ended may still be on its way. */
  #lastWords(): Promise<void> {
    const { stdout, stderr } = this.#launch;
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(lastWordsMs, resolve);
      void Promise.all([stdout, stderr].map(ended)).then(() => {
        cancel();
        resolve();
      });
    });
  }

  #releasePipes(): void {
    const { child } = this.#launch;
    if (child.connected) child.disconnect();
    for (const pipe of child.stdio) pipe?.destroy();
  }

  #goneWithin(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(graceMs, resolve);
      void this.exited.then(() => {
        cancel();
        resolve();
      });
    });
  }

  #reportProblem(problem: ProtocolProblem): void {
    // A stream of garbage is told at 1, 2, 4, 8… lines.
    if (problem.kind === 'malformed_line' && !Number.isInteger(Math.log2(problem.count))) return;
    const { kind, ...facts } = problem;
    this.#options.logger.warn({ event: 'codex_protocol_problem', launcher_pid: this.launcherPid, kind, ...facts }, 'Codex protocol problem');
  }
}

function ended(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed || stream.readableEnded) resolve();
    else stream.once('end', resolve).once('close', resolve);
  });
}

function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // Gone already.
  }
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
