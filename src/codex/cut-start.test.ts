import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { AgentLab, eventually } from '../testing/agent-lab.ts';

const workers = 8;
/** Each is a little further on than the next when their worker dies. */
const cagesEach = 3;

const worker = `
const [launchFile, options] = process.argv.slice(1);
const { launchAgent } = await import(launchFile);
for (const one of JSON.parse(options)) launchAgent(one);
process.kill(process.pid, 'SIGKILL');
`;

test('a worker that is killed while it makes cages leaves nothing of them', async () => {
  const lab = await AgentLab.open();
  try {
    for (let number = 0; number < workers; number += 1) {
      const cages = Array.from({ length: cagesEach }, (_, cage) => ({
        binary: lab.binary,
        isolation: lab.cage,
        slotDir: path.join(lab.root, `cut-${number}-${cage}`),
        heartbeatLimitMs: 10_000,
      }));
      for (const { slotDir } of cages) {
        for (const name of ['ws', 'home', 'tmp']) await mkdir(path.join(slotDir, name), { recursive: true });
      }
      const words = [path.join(import.meta.dirname, 'launch.ts'), JSON.stringify(cages)];
      const child = spawn(process.execPath, ['--input-type=module', '--eval', worker, ...words], { stdio: 'ignore' });
      assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);
    }
    await eventually(() => processesOf(lab.root).length === 0, 5_000, 'nothing is left of any cage');
  } finally {
    for (const pid of processesOf(lab.root)) process.kill(pid, 'SIGKILL');
    await lab.close();
  }
});

/** Whose words name the directory: a cage's first processes, until they become Codex. */
function processesOf(dir: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    return Number.isInteger(pid) && pid !== process.pid && wordsOf(pid).includes(dir) ? [pid] : [];
  });
}

function wordsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
