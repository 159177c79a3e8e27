// What can be asked of Codex, typed, each with its deadline. Which of these a caller may use, and with
// which parameters, is decided by those who call; nothing is clamped here.

import type { InitializeParams } from '../protocol/generated/InitializeParams.ts';
import type { InitializeResponse } from '../protocol/generated/InitializeResponse.ts';
import type { CommandExecParams } from '../protocol/generated/v2/CommandExecParams.ts';
import type { CommandExecResponse } from '../protocol/generated/v2/CommandExecResponse.ts';
import type { ThreadReadParams } from '../protocol/generated/v2/ThreadReadParams.ts';
import type { ThreadReadResponse } from '../protocol/generated/v2/ThreadReadResponse.ts';
import type { ThreadResumeParams } from '../protocol/generated/v2/ThreadResumeParams.ts';
import type { ThreadResumeResponse } from '../protocol/generated/v2/ThreadResumeResponse.ts';
import type { TurnInterruptParams } from '../protocol/generated/v2/TurnInterruptParams.ts';
import type { TurnStartParams } from '../protocol/generated/v2/TurnStartParams.ts';
import type { TurnStartResponse } from '../protocol/generated/v2/TurnStartResponse.ts';
import type { TurnSteerParams } from '../protocol/generated/v2/TurnSteerParams.ts';
import type { TurnSteerResponse } from '../protocol/generated/v2/TurnSteerResponse.ts';
import type { Connection } from './connection.ts';

const defaultDeadlineMs = 10_000;
/** Grows with the rollout: half a minute was seen on huge ones. */
const resumeDeadlineMs = 60_000;
/** Codex ends a command at its own timeout and answers then; this much later we stop believing it. */
const commandGraceMs = 5_000;

/** A command always has a timeout: without one the call could not have a deadline. */
export type BoundedCommand = CommandExecParams & { readonly timeoutMs: number };

export class AgentCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The handshake, both halves; nothing else may be called before. */
  async initialize(params: InitializeParams, deadlineMs: number = defaultDeadlineMs): Promise<InitializeResponse> {
    const response = await this.#call<InitializeResponse>('initialize', params, deadlineMs);
    this.#connection.notify('initialized');
    return response;
  }

  threadResume(params: ThreadResumeParams): Promise<ThreadResumeResponse> {
    return this.#call('thread/resume', params, resumeDeadlineMs);
  }

  threadRead(params: ThreadReadParams): Promise<ThreadReadResponse> {
    return this.#call('thread/read', params);
  }

  turnStart(params: TurnStartParams): Promise<TurnStartResponse> {
    return this.#call('turn/start', params);
  }

  async turnInterrupt(params: TurnInterruptParams, deadlineMs: number = defaultDeadlineMs): Promise<void> {
    await this.#call('turn/interrupt', params, deadlineMs);
  }

  turnSteer(params: TurnSteerParams): Promise<TurnSteerResponse> {
    return this.#call('turn/steer', params);
  }

  commandExec(params: BoundedCommand): Promise<CommandExecResponse> {
    return this.#call('command/exec', params, params.timeoutMs + commandGraceMs);
  }

  /** The shape of an answer is Codex's word: generated from the binary whose version is pinned. */
  async #call<T>(method: string, params: unknown, deadlineMs: number = defaultDeadlineMs): Promise<T> {
    return (await this.#connection.call(method, params, deadlineMs)) as T;
  }
}
