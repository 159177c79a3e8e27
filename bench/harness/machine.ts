// On what was measured: as much of the machine as a reader needs to judge the numbers, and no names.

import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { locateCodex } from '../../src/codex/binary.ts';
import type { Fact } from './benchmark.ts';

const GiB = 1024 ** 3;

export async function machineFacts(): Promise<Fact[]> {
  const { version: codexVersion } = await locateCodex();
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const processors = cpus();
  return [
    { what: 'date', value: new Date().toISOString().slice(0, 10) },
    { what: 'processor', value: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}` },
    { what: 'memory', value: `${Math.round(totalmem() / GiB)} GiB` },
    { what: 'kernel', value: `Linux ${release().split('-')[0]}` },
    { what: 'versions', value: `codex-fleet ${version}, codex ${codexVersion}, node ${process.versions.node}` },
  ];
}

export function loadNow(): string {
  return (loadavg()[0] ?? 0).toFixed(1);
}
