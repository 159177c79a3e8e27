// The life of one Codex process: handshake, model door, heartbeat, stop ladder, exit. Its end is noticed when
// its output ends, whatever it says of itself: exit 0 in mid-turn too.

import net from 'node:net';
import { ServiceError } from '../core/errors.ts';
import { type AgentExit, describeEnd, type EndedBy, lastWords } from './agent-exit.ts';
import type { AgentOptions, AgentProcess, StopOptions } from './agent-process.ts';
import { Connection, type ProtocolProblem } from './connection.ts';
import { Heartbeat } from './heartbeat.ts';
import { type AgentPaths, agentPaths, type Launch } from './launch.ts';
import { buildInitialize } from '../protocol/policy.ts';
import { AgentCalls } from './methods.ts';
import { ModelDoor } from './model-door.ts';
import { findDescendant } from './process-tree.ts';
import { TextTail } from './text-tail.ts';

const stderrTailBytes = 8 * 1024;
/** From the end of Codex's output to the end of its launcher. */
const exitGraceMs = 1_000;
/** Pipes end with their processes; one that escaped (where there is no cage) may hold them longer. */
const lastWordsMs = 300;
/** A process that the kernel cannot end (a dead network disk) must not hold up a stop for ever. */
const killGraceMs = 2_000;
const killDeadlineMs = 15_000;

export class RunningAgent implements AgentProcess {
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
  #endedBy: EndedBy | null = null;
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
    const { config, startDeadlineMs } = this.#options;
    await Promise.all([this.calls.initialize(buildInitialize(config.fleetVersion), startDeadlineMs), this.#doorOpen]);
  }

  agentPid(): number | null {
    return this.#isGone ? null : findDescendant(this.launcherPid, 'codex');
  }

  async kill(): Promise<void> {
    this.#endedBy ??= 'killed';
    this.#connection.close('it was killed');
    this.#launch.killAll();
    await this.#goneWithin(killGraceMs);
    if (this.#isGone) return;
    this.#launch.child.kill('SIGKILL');
    await this.#goneWithin(killDeadlineMs);
    if (this.#isGone) return;
    throw new ServiceError('internal', {}, { message: `process ${this.launcherPid} cannot be killed` });
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
      const cancel = this.#options.clock.after(this.#options.startDeadlineMs, () =>
        reject(new Error('the model door did not open in time')),
      );
      child.once('message', (_message, handle) => {
        if (!(handle instanceof net.Server)) return;
        this.#door = new ModelDoor(handle, this.#options.modelUpstream, this.#options.clock);
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
      this.#options.logger.error(
        { event: 'agent_garbled', launcher_pid: this.launcherPid, err: error },
        'Codex process is not understood',
      );
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
        await lastWords([this.#launch.stdout, this.#launch.stderr], this.#options.clock, lastWordsMs);
        this.#connection.close('it ended');
        this.#releasePipes();
        const exit = { ...describeEnd(code, signal, this.#endedBy), stderrTail: this.#stderr.text() };
        this.#options.logger.debug(
          {
            event: 'agent_exited',
            launcher_pid: this.launcherPid,
            reason: exit.reason,
            exit_code: exit.exitCode,
            signal: exit.signal,
          },
          'Codex process ended',
        );
        resolve(exit);
      };
      child.once('exit', (code, signal) => void gone(code, signal));
      child.once('error', (error) => {
        this.#stderr.push(Buffer.from(error.message));
        if (child.pid === undefined) void gone(null, null);
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
    this.#options.logger.warn(
      { event: 'codex_protocol_problem', launcher_pid: this.launcherPid, kind, ...facts },
      'Codex protocol problem',
    );
  }
}

function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // Gone already.
  }
}
