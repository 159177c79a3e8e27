// One warm Codex process in a cage of its own. It serves one session in its life: what a session
// left behind in a process or a cage is never met by the next one.

import type { AgentNotification, AgentProcess, AgentRequest, RequestAnswer } from '../codex/agent-process.ts';
import type { TenantId } from '../core/ids.ts';
import type { RecycleReason } from '../observability/metrics.ts';
import type { KilledCommand } from './killed-command.ts';

export type SlotEndReason = RecycleReason;

export type SlotState =
  | { readonly name: 'starting' }
  | { readonly name: 'idle'; readonly agent: AgentProcess }
  | { readonly name: 'bound'; readonly agent: AgentProcess; readonly tenant: TenantId; readonly sinceMs: number }
  | { readonly name: 'stopping'; readonly reason: SlotEndReason }
  | { readonly name: 'dead'; readonly reason: SlotEndReason };

export type AgentListener = {
  readonly onNotification: (notification: AgentNotification, line: string) => void;
  /** The answer that Codex waits for; the signal aborts when nobody is left to hear it. */
  readonly onServerRequest: (request: AgentRequest, signal: AbortSignal) => Promise<RequestAnswer>;
  /** The process has grown so far that what runs on it must end now. */
  readonly onOvergrown: () => void;
  /** A command was ended because it held too much memory; the turn goes on. */
  readonly onCommandKilled: (killed: KilledCommand) => void;
  /** Due for replacement, whenever nothing runs on it. */
  readonly onDue: (reason: SlotEndReason) => void;
};

export type Slot = {
  readonly id: string;
  readonly dir: string;
  /** Monotonic. */
  readonly startedAtMs: number;
  state: SlotState;
  /** Turns that ran on it. */
  turns: number;
  /** Who hears what this slot's Codex says; null while nothing is bound to it. */
  listener: AgentListener | null;
};
