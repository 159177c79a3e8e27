// When a Codex process has done enough: by its age, its turns, its memory, its open files. Codex leaks
// all of them, slowly; a process that is replaced in time costs nobody a turn.

import { readdirSync } from 'node:fs';
import { residentBytes } from '../codex/process-tree.ts';
import type { Slot, SlotEndReason } from './slot.ts';

export type RecycleLimits = {
  readonly turns: number;
  readonly ageMs: number;
  readonly rssBytes: number;
  readonly openFiles: number;
};

/** null while the process may go on. Reads /proc: cheap, but not for every event. */
export function dueReason(slot: Slot, limits: RecycleLimits, nowMs: number): SlotEndReason | null {
  if (slot.turns >= limits.turns) return 'turns';
  if (nowMs - slot.startedAtMs >= limits.ageMs) return 'age';
  const pid = agentPidOf(slot);
  if (pid === null) return null;
  if ((residentBytes(pid) ?? 0) >= limits.rssBytes) return 'memory';
  if (openFiles(pid) >= limits.openFiles) return 'open_files';
  return null;
}

/** Beyond this it is not left to end its turn: it would take the memory of the others. */
export function isOvergrown(slot: Slot, limits: RecycleLimits): boolean {
  const pid = agentPidOf(slot);
  return pid !== null && (residentBytes(pid) ?? 0) >= 2 * limits.rssBytes;
}

function agentPidOf({ state }: Slot): number | null {
  return state.name === 'idle' || state.name === 'bound' ? state.agent.agentPid() : null;
}

function openFiles(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    // Gone, or not ours to see.
    return 0;
  }
}
