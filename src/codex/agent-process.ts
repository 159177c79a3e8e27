// Starts one Codex process, and says what can be asked of it afterwards. Knows no sessions; its life after
// the start is in running-agent.ts.

import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { AgentExit } from './agent-exit.ts';
import type { CodexBinary } from './binary.ts';
import type { AgentNotification } from './connection.ts';
import { type CodexConfig, prepareSlotDir } from './home.ts';
import { type AgentPaths, hasOwnNetwork, type Isolation, launchAgent } from './launch.ts';
import { cagedDoorPort } from './launch-scripts.ts';
import type { AgentCalls } from './methods.ts';
import { ModelDoor, type ModelUpstream } from './model-door.ts';
import { RunningAgent } from './running-agent.ts';
import type { AgentRequest, RequestAnswer } from './server-requests.ts';

export type { AgentExit } from './agent-exit.ts';
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

/** Rejects with `agent_start_failed`; nothing is left running then. */
export async function startAgent(options: AgentOptions): Promise<AgentProcess> {
  const startedAt = options.clock.monotonicMs();
  let agent: RunningAgent | null = null;
  let door: ModelDoor | null = null;
  try {
    let port = cagedDoorPort;
    if (!hasOwnNetwork(options.isolation))
      ({ door, port } = await ModelDoor.listen(options.modelUpstream, options.clock));
    await prepareSlotDir(options.slotDir, {
      config: options.config,
      baseUrl: `http://127.0.0.1:${port}/v1`,
      template: options.homeTemplate,
    });
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
    {
      event: 'agent_started',
      launcher_pid: agent.launcherPid,
      duration_ms: Math.round(options.clock.monotonicMs() - startedAt),
    },
    'Codex process started',
  );
  return agent;
}
