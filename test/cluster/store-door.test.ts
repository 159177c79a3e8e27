import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ExecResponse } from '../../src/api/exec.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { descendantsOf } from '../e2e/processes.ts';
import { eventually } from '../e2e/eventually.ts';
import { RunningCluster } from './running-cluster.ts';

/** What a process and all below it has open, mapped or mounted. */
function known(pid: number): string[] {
  return [pid, ...descendantsOf(pid).map((one) => one.pid)].flatMap((one) => {
    const files =
      tried(() =>
        readdirSync(`/proc/${one}/fd`).map((fd) => tried(() => readlinkSync(`/proc/${one}/fd/${fd}`)) ?? ''),
      ) ?? [];
    const texts = ['maps', 'mountinfo'].flatMap(
      (name) => tried(() => readFileSync(`/proc/${one}/${name}`, 'utf8')) ?? [],
    );
    return [...files, ...texts.flatMap((text) => text.split('\n'))];
  });
}

/** Processes and files of them come and go. */
function tried<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

test('workers with the store door alone: sessions go on behind the death of a worker and of a session manager, and nothing shared is theirs [fleet-store-door]', {
  timeout: 240_000,
}, async (t) => {
  const running = await RunningCluster.start(t, { storeDoor: true, managers: 2, workers: 2 });
  if (running === null) return;
  const { client, cluster } = running;
  const sharedDir = path.join(running.dataDir, 'data');

  await t.test('an exec is answered, and its files are there for the next', async () => {
    const first = await client.completed('write: note.txt: by the door\nsay: written', 'doors');
    const second = await client.completed('run: cat note.txt', 'doors');
    assert.equal(second.session_id, first.session_id);
    assert.match(second.stdout, /by the door/);
  });

  await t.test('a worker has no file of the shared directory open, mapped or mounted, and makes none there', () => {
    assert.ok(existsSync(path.join(sharedDir, 'fleet.db')), 'the records are where the managers have them');
    const manager = cluster.members('session-manager')[0]?.pid ?? assert.fail('a manager runs');
    assert.ok(
      known(manager).some((line) => line.includes(sharedDir)),
      'the look finds it where it is',
    );
    for (const { name, pid } of cluster.members('worker')) {
      const lines = known(pid ?? assert.fail('the worker runs'));
      assert.ok(
        lines.some((line) => line.includes(cluster.workerDataDir(name))),
        'its own it has',
      );
      assert.deepEqual(
        lines.filter((line) => line.includes(sharedDir)),
        [],
        name,
      );
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
      assert.equal(environment.includes(`${sharedDir}`), false);
      assert.equal(
        lines.some((line) => line.includes('@google-cloud') || line.includes('google-gax')),
        false,
      );
    }
    assert.equal(existsSync(path.join(sharedDir, 'workers')), false);
  });

  await t.test('a session goes on at the other worker when its own is killed', async () => {
    const { worker } = await client.session('doors');
    const victim = worker ?? assert.fail('a worker has the session');
    await cluster.kill9(victim, { holdDown: true });
    const after = await client.completed('run: cat note.txt', 'doors');
    assert.match(after.stdout, /by the door/);
    assert.notEqual((await client.session('doors')).worker, victim);
    await cluster.startMember(victim);
    await running.whole();
  });

  await t.test(
    'session managers are killed one after the other while turns are committed: each accepted turn completes once',
    async () => {
      const rounds = 6;
      const turns: TurnResource[] = [];
      const asking = (async () => {
        for (let round = 0; round < rounds; round += 1) {
          const begun = await Promise.all(
            ['one', 'two', 'three', 'four'].map((name) =>
              startOrCreate(running, `run: echo ${round} >> log.txt\nsay: ${name} ${round}`, `commit-${name}`),
            ),
          );
          turns.push(...begun);
          await Promise.all(begun.map((turn) => running.client.turnEnded(turn.session_id, turn.id, 60_000)));
        }
      })();
      let kills = 0;
      const killing = (async () => {
        for (let isOver = false; !isOver; ) {
          await new Promise((resolve) => setTimeout(resolve, 150));
          isOver = await Promise.race([asking.then(() => true), Promise.resolve(false)]);
          if (isOver || kills >= 8) break;
          const name = `session-manager-${(kills % 2) + 1}`;
          await cluster.kill9(name, { holdDown: true });
          kills += 1;
          await cluster.startMember(name);
        }
      })();
      await asking;
      await killing;
      assert.ok(kills >= 2, `${kills} were killed`);
      const ends = await Promise.all(turns.map((turn) => running.client.turn(turn.session_id, turn.id)));
      assert.deepEqual(
        ends.map(({ error, status }) => [status, error]),
        ends.map(() => ['completed', null]),
      );
      for (const name of ['one', 'two', 'three', 'four']) {
        const { stdout }: ExecResponse = await running.client.completed('run: cat log.txt', `commit-${name}`);
        const lines: readonly string[] = stdout.match(/^\d$/gm) ?? [];
        assert.deepEqual(
          lines,
          Array.from({ length: rounds }, (_, round) => String(round)),
          name,
        );
      }
      t.diagnostic(`${kills} session managers were killed while ${turns.length} turns were committed`);
    },
  );

  await t.test(
    'without any session manager a turn waits or is refused in words, and is taken when one is back',
    async () => {
      const names = cluster.members('session-manager').map(({ name }) => name);
      await Promise.all(names.map((name) => cluster.kill9(name, { holdDown: true })));
      const asked = running.client.exec({ prompt: 'say: now', session_id: 'doors', wait_ms: 30_000 });
      await new Promise((resolve) => setTimeout(resolve, 500));
      await Promise.all(names.map((name) => cluster.startMember(name)));
      const { body, status, text } = await asked;
      assert.ok(status === 200 || status === 503, text);
      if (status === 200) assert.ok(['completed', 'failed'].includes(body.status), text);
      await eventually('the session answers again', 30_000, async () => {
        const answer = await running.client.exec({ prompt: 'say: again', session_id: 'doors' });
        return answer.status === 200 && answer.body.status === 'completed';
      });
    },
  );
});

async function startOrCreate(running: RunningCluster, prompt: string, sessionId: string): Promise<TurnResource> {
  const { client } = running;
  const session = await client.request('GET', `/api/v1/sessions/${sessionId}`);
  if (session.status === 404) await client.request('POST', '/api/v1/sessions', { id: sessionId });
  return await client.startTurn(prompt, sessionId);
}
