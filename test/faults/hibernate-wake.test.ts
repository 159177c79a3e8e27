import assert from 'node:assert/strict';
import { test } from 'node:test';
import { remembersAll } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';
import { filesOf, treeOf } from './workspace-tree.ts';

const cycles = scaled(10);

/** New files, changed ones, some removed, a link, a mode, a name with a space: what a snapshot must not lose. */
function changes(cycle: number): string {
  return [
    `mkdir -p d${cycle % 3}/e`,
    `head -c ${1 + cycle * 7919} /dev/urandom > d${cycle % 3}/e/f${cycle}`,
    `echo ${cycle} >> 'a name'`,
    `ln -sfn d${cycle % 3} link`,
    `chmod ${cycle % 2 === 0 ? 755 : 644} 'a name'`,
    // Codex refuses `rm -f`, whatever it is to remove.
    `find . -name f${cycle - 3} -delete`,
  ].join(' && ');
}

test('over cycles of hibernation, waking and restarts the files stay as they were and the model is shown every turn [wake-whole]', async (t) => {
  seededRun(t);
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
  });
  const prompts: string[] = [];
  const trees: string[] = [];
  const { session_id: sessionId } = await fleet.client.completed('say: hello', 'woken');
  prompts.push('say: hello');
  for (let cycle = 1; cycle <= cycles; cycle += 1) {
    const prompt = `run: ${changes(cycle)}`;
    await fleet.client.completed(prompt, sessionId);
    prompts.push(prompt);
    const before = await treeOf(fleet.client, sessionId);
    const live = await filesOf(fleet.client, sessionId);
    const asked = await fleet.client.request('POST', `/api/v1/sessions/${sessionId}/hibernate`);
    assert.ok(asked.status < 300, asked.text);
    assert.equal((await fleet.client.session(sessionId)).status, 'hibernated');
    // Read from its snapshot: nothing else has it.
    assert.deepEqual(await filesOf(fleet.client, sessionId), live, `the snapshot of cycle ${cycle}`);
    assert.equal((await fleet.client.session(sessionId)).status, 'hibernated');
    // What wakes it is at times another fleet on the same data, after a good end or a bad one.
    if (cycle % 5 === 2) await fleet.stop();
    if (cycle % 5 === 2 || cycle % 5 === 4) await fleet.restart();
    assert.equal(await treeOf(fleet.client, sessionId), before, `cycle ${cycle}`);
    trees.push(before);
  }
  await fleet.client.completed('recall', sessionId);
  prompts.push('recall');
  t.diagnostic(`${cycles} cycles, ${fleet.starts} starts, ${oracle.calls.length} calls of the model`);
  assert.equal(new Set(trees).size, cycles, 'each cycle changed something');
  assert.deepEqual(remembersAll(oracle.calls, prompts), []);
  assert.deepEqual(oracle.callsOf('recall')[0]?.earlierPrompts, prompts.slice(0, -1));
  recordReliability({
    fault: 'hibernated and woken again, at times by a fleet that was stopped or killed in between',
    count: `${cycles} cycles, ${fleet.starts - 1} restarts`,
    result: 'files, modes, links and names are the same; the model is shown every earlier prompt in order',
    control: `each cycle changed the tree: ${new Set(trees).size} trees in ${cycles} cycles`,
  });
});
