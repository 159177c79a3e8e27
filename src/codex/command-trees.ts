// What the commands of one agent hold of memory, by the process trees that Codex started, and how one is ended.
// Reads /proc, cheaply: what is exact costs more, and is asked for only where it decides.

import { readFileSync, statfsSync, statSync } from 'node:fs';
import { heldBytes } from './exact-memory.ts';
import { childrenOf } from './process-tree.ts';

export type CommandTree = {
  /** The process that Codex started, or an orphan of one. */
  readonly pid: number;
  readonly parentPid: number;
  /** With all below it. */
  readonly pids: readonly number[];
  /** Resident, with what files in memory hold; what several processes share is counted for each of them. */
  readonly bytes: number;
  /** Of these, files in a /dev of its own, which go when it ends. */
  readonly filesBytes: number;
};

export type AgentMemory = {
  readonly codexBytes: number;
  /** Files in memory that go with the cage alone. */
  readonly filesBytes: number;
  readonly commands: readonly CommandTree[];
};

/** getconf PAGESIZE says so on every machine that Codex is built for, but for ARM kernels made otherwise. */
const pageBytes = 4096;
const tmpfs = 0x01021994;

/**
 * null when Codex is gone. `orphansBelow`: whose other children are what an agent without a namespace of its own
 * left behind; elsewhere its watchdog gets them.
 */
export function memoryOf(
  agent: { readonly launcherPid: number; readonly codexPid: number | null },
  orphansBelow: number | null = null,
): AgentMemory | null {
  const { codexPid, launcherPid } = agent;
  const watchdogPid = codexPid === null ? null : parentOf(codexPid);
  if (codexPid === null || watchdogPid === null) return null;
  const parents = new Set([codexPid, watchdogPid, ...(orphansBelow === null ? [] : [orphansBelow])]);
  const notCommands = new Set([codexPid, watchdogPid, launcherPid, process.pid]);
  // bubblewrap gives a cage, and each sandboxed command, a /dev in memory that can be filled.
  const counted = new Set([deviceOf('/dev')]);
  const filesBytes = filesInMemory(codexPid, counted);
  const commands: CommandTree[] = [];
  for (const parentPid of parents) {
    for (const pid of childrenOf(parentPid)) if (!notCommands.has(pid)) commands.push(treeOf(pid, parentPid, counted));
  }
  return { codexBytes: statmBytes(codexPid), filesBytes, commands };
}

/** With what is shared counted once, as far as that can be told in bounded time. */
export function exactBytes({ filesBytes, pids }: Pick<CommandTree, 'filesBytes' | 'pids'>): number {
  return filesBytes + heldBytes(pids.map((pid) => ({ pid, residentBytes: statmBytes(pid) })));
}

/** Its first process is whose child it was, or nothing is done: a number may be somebody else's by now. */
export function endTree({ parentPid, pid }: Pick<CommandTree, 'parentPid' | 'pid'>): boolean {
  if (parentOf(pid) !== parentPid) return false;
  // Read anew: those that have left it since are trees of their own, if they are the agent's at all.
  for (const one of [pid, ...belowOf(pid)]) {
    try {
      process.kill(one, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
  return true;
}

function treeOf(pid: number, parentPid: number, counted: Set<number | null>): CommandTree {
  const pids = [pid, ...belowOf(pid)];
  // The first processes of a sandbox make it, the last are in it.
  const filesBytes = filesInMemory(pids.at(-1) ?? pid, counted);
  return { pid, parentPid, pids, filesBytes, bytes: pids.reduce((sum, one) => sum + statmBytes(one), filesBytes) };
}

/** In the /dev that the process sees; 0 for one that was counted, and for one that is not in memory. */
function filesInMemory(pid: number, counted: Set<number | null>): number {
  const dir = `/proc/${pid}/root/dev`;
  const device = deviceOf(dir);
  if (counted.has(device) || device === null) return 0;
  counted.add(device);
  try {
    const { bfree, blocks, bsize, type } = statfsSync(dir);
    return type === tmpfs ? (blocks - bfree) * bsize : 0;
  } catch {
    return 0;
  }
}

function deviceOf(file: string): number | null {
  try {
    return statSync(file).dev;
  } catch {
    return null;
  }
}

function belowOf(pid: number): number[] {
  const below: number[] = [];
  let level = childrenOf(pid);
  // A tree that forks while it is read has no end of its own.
  while (level.length > 0 && below.length < 10_000) {
    below.push(...level);
    level = level.flatMap(childrenOf);
  }
  return below;
}

function statmBytes(pid: number): number {
  const resident = read(`/proc/${pid}/statm`)?.split(' ')[1];
  return resident === undefined ? 0 : Number(resident) * pageBytes;
}

/** The name of a process may hold anything: the numbers begin behind its last bracket. */
function parentOf(pid: number): number | null {
  const parent = /\) \S (\d+) /.exec((read(`/proc/${pid}/stat`) ?? '').replace(/^.*\)/s, ')'))?.[1];
  return parent === undefined ? null : Number(parent);
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
