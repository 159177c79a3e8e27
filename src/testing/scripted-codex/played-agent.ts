// An agent in this process: the real connection and calls, played to by a script over a pipe that is an
// array of lines. No process, no socket, no time but the clock's; for tests of everything above it.

import type {
  AgentExit,
  AgentNotification,
  AgentProcess,
  AgentRequest,
  RequestAnswer,
} from '../../codex/agent-process.ts';
import { Connection } from '../../codex/connection.ts';
import { AgentCalls } from '../../codex/methods.ts';
import type { Clock } from '../../core/clock.ts';
import type { Script } from './script.ts';
import { ScriptPlayer } from './script-player.ts';

export type PlayedAgentOptions = {
  readonly script: Script;
  readonly clock: Clock;
  readonly paths?: { readonly ws: string; readonly home: string };
  /** A process whose memory and files are looked at; null: none. */
  readonly pid?: number | null;
  readonly onNotification: (notification: AgentNotification, line: string) => void;
  readonly onServerRequest?: (request: AgentRequest) => Promise<RequestAnswer>;
};

export class PlayedAgent implements AgentProcess {
  readonly calls: AgentCalls;
  readonly paths: { readonly ws: string; readonly home: string };
  readonly launcherPid = -1;
  readonly exited: Promise<AgentExit>;
  readonly player: ScriptPlayer;
  /** Method names, in the order in which they came. */
  readonly asked: string[] = [];
  readonly #params: { readonly method: string; readonly params: Readonly<Record<string, unknown>> }[] = [];
  readonly #connection: Connection;
  readonly #exit = Promise.withResolvers<AgentExit>();
  readonly #pid: number | null;
  #isGone = false;

  constructor({ clock, onNotification, onServerRequest, paths, pid = null, script }: PlayedAgentOptions) {
    this.paths = paths ?? { ws: '/s/ws', home: '/s/home' };
    this.exited = this.#exit.promise;
    this.#pid = pid;
    this.player = new ScriptPlayer(script, {
      say: (line) => this.#later(() => this.#connection.receive(Buffer.from(`${line}\n`))),
      spill: () => this.#later(() => this.end({ reason: 'garbled' })),
      after: (delayMs, callback) => void clock.after(delayMs, callback),
      exit: (exitCode) => this.#later(() => this.end({ reason: 'exited', exitCode })),
      signal: (signal) => this.#later(() => this.end({ reason: 'exited', signal })),
      grow: () => {},
      openFiles: () => {},
    });
    this.#connection = new Connection({
      write: (bytes) => {
        const line = bytes.toString('utf8').trimEnd();
        const { method, params } = JSON.parse(line) as { method?: string; params?: Readonly<Record<string, unknown>> };
        if (method !== undefined) {
          this.asked.push(method);
          this.#params.push({ method, params: params ?? {} });
        }
        this.#later(() => this.player.hear(line));
      },
      clock,
      onNotification,
      onServerRequest: onServerRequest ?? (async () => ({ error: { code: -32601, message: 'refused' } })),
      onProblem: () => {},
    });
    this.calls = new AgentCalls(this.#connection);
  }

  agentPid(): number | null {
    return this.#isGone ? null : this.#pid;
  }

  async kill(): Promise<void> {
    this.end({ reason: 'killed', signal: 'SIGKILL' });
  }

  async stop(): Promise<void> {
    this.end({ reason: 'stopped', exitCode: 0 });
  }

  /** Of each call of the method. */
  params(method: string): readonly Readonly<Record<string, unknown>>[] {
    return this.#params.filter((call) => call.method === method).map(({ params }) => params);
  }

  /** As if the process had ended so. */
  end(exit: Partial<AgentExit>): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#connection.close('its output ended');
    this.#exit.resolve({ reason: 'exited', exitCode: null, signal: null, stderrTail: '', ...exit });
  }

  /** As with the machine below it: nothing is heard of it any more, not even its end. */
  vanish(): void {
    this.#isGone = true;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  // Never in the same breath: a pipe has two ends.
  #later(then: () => void): void {
    queueMicrotask(() => {
      if (!this.#isGone) then();
    });
  }
}
