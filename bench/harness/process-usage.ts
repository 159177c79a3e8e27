// What processes of others cost, as the kernel counts it: CPU time and private memory of a process and
// of those below it. Codex is told apart from what is ours by its name.

import { readdirSync, readFileSync } from 'node:fs';

export type TreeUsage = { readonly oursCpuMs: number; readonly codexCpuMs: number };

/** The kernel counts CPU time in ticks of 10 ms: for many operations together, not for one. */
const msPerTick = 10;

export function treeUsage(rootPid: number): TreeUsage {
  const parents = new Map<number, number[]>();
  const facts = new Map<number, { readonly name: string; readonly cpuMs: number }>();
  for (const entry of readdirSync('/proc')) {
    const stat = /^\d+$/.test(entry) ? readProc(Number(entry), 'stat') : '';
    const match = /^(\d+) \((.*)\) (.*)$/s.exec(stat);
    if (match === null) continue;
    const pid = Number(match[1]);
    const fields = (match[3] ?? '').split(' ');
    const parent = Number(fields[1]);
    parents.set(parent, [...(parents.get(parent) ?? []), pid]);
    facts.set(pid, { name: match[2] ?? '', cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick });
  }
  let oursCpuMs = 0;
  let codexCpuMs = 0;
  const waiting = [rootPid];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const { name, cpuMs } = facts.get(pid) ?? { name: '', cpuMs: 0 };
    if (name.startsWith('codex')) codexCpuMs += cpuMs;
    else oursCpuMs += cpuMs;
    waiting.push(...(parents.get(pid) ?? []));
  }
  return { oursCpuMs, codexCpuMs };
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
