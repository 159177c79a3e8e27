// Workers killed behind `completed`, and their disks gone: nothing that was told is lost.

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { remembersAll } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { KeptHistory } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { filesOf } from '../faults/workspace-tree.ts';
import { type ClusterSetup, placeOf, RunningCluster } from './running-cluster.ts';

const sessions = 6;

export type WipedDisks = { readonly storage: NonNullable<ClusterSetup['storage']>; readonly rounds: number };

type Kept = { readonly name: string; readonly prompts: string[]; files: Record<string, string> };

/** New files, a changed one, a mode, a link, octets that are no text. */
function changes(name: string, round: number): string {
  return [
    `mkdir -p d${round}`,
    `head -c ${5_000 + 977 * round} /dev/urandom > d${round}/octets`,
    `echo ${name} ${round} >> 'a name'`,
    `chmod ${round % 2 === 0 ? 755 : 644} 'a name'`,
    `ln -sfn d${round} newest`,
  ].join(' && ');
}

/** For the test's own time limit, on a machine that does other things. */
export function wipedDisksTimeoutMs({ rounds }: WipedDisks): number {
  return 120_000 + rounds * 60_000;
}

export async function wipedDisks(t: TestContext, { rounds, storage }: WipedDisks): Promise<void> {
  await using oracle = await OracleModel.start();
  const running = await RunningCluster.start(t, { storage, modelFlags: oracle.flags, workerFlags: ['--slots', '6'] });
  if (running === null) return;
  using history = new KeptHistory(running, oracle);
  const { client } = running;
  const all = Array.from({ length: sessions }, (_, index): Kept => ({ name: `kept-${index}`, prompts: [], files: {} }));
  let lost = 0;

  const ask = async (kept: Kept, prompt: string): Promise<void> => {
    const { sessionId, turnId } = await history.send(prompt, kept.name);
    assert.equal((await running.client.turnEnded(sessionId, turnId, 60_000)).status, 'completed');
    kept.prompts.push(prompt);
  };

  for (let round = 1; round <= rounds; round += 1) {
    await Promise.all(
      all.map(async (kept) => {
        await ask(kept, `run: ${changes(kept.name, round)}\nsay: ${kept.name} ${round}`);
        kept.files = await filesOf(running.client, kept.name);
      }),
    );
    const held = await Promise.all(all.map(async ({ name }) => (await client.session(name)).worker));
    const victim = held.find((worker) => worker !== null) ?? assert.fail('some worker has a session');
    lost += held.filter((worker) => worker === victim).length;
    await running.cluster.kill9(victim, { holdDown: true });
    const disk = path.join(running.dataDir, 'data', 'workers', victim);
    assert.ok(existsSync(path.join(disk, 'sessions')), 'it kept files there');
    rmSync(disk, { recursive: true });
    // In one round the others take its sessions over; in the next it comes back, with nothing.
    const isBack = round % 2 === 0 ? running.cluster.startMember(victim) : null;

    await Promise.all(
      all.map(async (kept) => {
        await ask(kept, `recall\nsay: ${kept.name} after ${round}`);
        assert.deepEqual(await filesOf(running.client, kept.name), kept.files, kept.name);
      }),
    );
    await (isBack ?? running.cluster.startMember(victim));
    await running.whole();
  }

  const { ends, problems } = await history.settle();
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(ends), ['completed']);
  for (const { prompts } of all) {
    const calls = oracle.calls.filter(({ prompt }) => prompts.includes(prompt));
    assert.deepEqual(remembersAll(calls, prompts), []);
    const forgetful = calls.map((call) => ({ ...call, earlierPrompts: call.earlierPrompts.slice(1) }));
    assert.ok(remembersAll(forgetful, prompts).length > 0, 'the check can fail');
  }
  t.diagnostic(`${rounds} disks wiped, ${lost} sessions were at their workers, ${JSON.stringify(ends)}`);
  recordReliability({
    fault: `a worker is killed behind \`completed\` and its directory removed, every other time it is started again at once${placeOf(storage)}`,
    count: `${rounds} workers, ${lost} sessions`,
    result: 'each session went on with equal files, and the model was shown every earlier prompt',
    control: 'a call of the model that was shown one prompt less is found',
  });
}
