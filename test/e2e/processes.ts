// What runs on this machine, read from /proc: the only witness of "no process is left".

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export type ProcessFacts = {
  readonly pid: number;
  readonly ppid: number;
  /** With the pid, the identity of a process: pids are used again. */
  readonly startTime: string;
  readonly name: string;
  readonly args: readonly string[];
};

/** Every process but the ones that have ended and wait for their parent to notice. */
export function listProcesses(): ProcessFacts[] {
  return readdirSync('/proc').flatMap((entry) => {
    const facts = /^\d+$/.test(entry) ? readProcess(Number(entry)) : null;
    return facts === null ? [] : [facts];
  });
}

export function readProcess(pid: number): ProcessFacts | null {
  const stat = readProcFile(pid, 'stat');
  // The name is in brackets and may hold anything, brackets included.
  const match = /^\d+ \(([\s\S]*)\) (\S) ([\s\S]*)$/.exec(stat);
  if (match === null || match[2] === 'Z' || match[2] === 'X') return null;
  const rest = (match[3] ?? '').split(' ');
  const args = readProcFile(pid, 'cmdline').split('\0').slice(0, -1);
  return { pid, ppid: Number(rest[0]), startTime: rest[18] ?? '', name: match[1] ?? '', args };
}

export function isAlive(known: ProcessFacts): boolean {
  return readProcess(known.pid)?.startTime === known.startTime;
}

export function descendantsOf(pid: number): ProcessFacts[] {
  const all = listProcesses();
  const found: ProcessFacts[] = [];
  const parents = [pid];
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    for (const child of all) {
      if (child.ppid !== parent) continue;
      found.push(child);
      parents.push(child.pid);
    }
  }
  return found;
}

/** Processes whose command line is these words, found from outside whatever cage they are in. */
export function findByArgs(...args: readonly string[]): ProcessFacts[] {
  return listProcesses().filter((one) => one.args.join('\0') === args.join('\0'));
}

/** Processes that know of a directory: by command line, environment, working directory or mounts. */
export function findByMark(mark: string): ProcessFacts[] {
  return listProcesses().filter(
    (one) =>
      one.pid !== process.pid &&
      (one.args.some((arg) => arg.includes(mark)) ||
        readProcFile(one.pid, 'environ').includes(mark) ||
        readCwd(one.pid).includes(mark) ||
        readProcFile(one.pid, 'mountinfo').includes(mark)),
  );
}

/** The nearest ancestor that is Codex itself, not one of its commands. */
export function codexAbove(pid: number): ProcessFacts | null {
  for (let at = readProcess(pid); at !== null; at = readProcess(at.ppid)) if (isCodex(at)) return at;
  return null;
}

export function isCodex(one: ProcessFacts): boolean {
  return one.name === 'codex' && one.args.includes('app-server');
}

export function describe(processes: readonly ProcessFacts[]): string {
  return processes.map((one) => `${one.pid} ${one.args.join(' ').slice(0, 200) || one.name}`).join('\n');
}

export function readProcFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It ended meanwhile, or is not ours to look at.
    return '';
  }
}

function readCwd(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}
