// One warm Codex process in a cage of its own. It serves one session in its life: what a session
// left behind in a process or a cage is never met by the next one.

import type { AgentNotification, AgentProcess } from '../codex/agent-process.ts';
import type { RecycleReason } from '../observability/metrics.ts';

export type SlotEndReason = RecycleReason;

export type SlotState =
  | { readonly name: 'starting'; readonly since: number }
  | { readonly name: 'idle'; readonly since: number; readonly agent: AgentProcess }
  | { readonly name: 'bound'; readonly since: number; readonly agent: AgentProcess }
  | { readonly name: 'stopping'; readonly reason: SlotEndReason }
  | { readonly name: 'dead'; readonly reason: SlotEndReason };

export type AgentListener = {
  readonly onNotification: (notification: AgentNotification, line: string) => void;
};

export type Slot = {
  readonly id: string;
  readonly dir: string;
  state: SlotState;
  /** Who hears what this slot's Codex says; null while nothing is bound to it. */
  listener: AgentListener | null;
};
