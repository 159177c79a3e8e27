import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TurnResource } from '../../src/api/turns.ts';
import type { ExecResponse } from '../../src/api/exec.ts';
import { FaultProxy, type ConnectionPlan } from '../../src/testing/faults/fault-proxy.ts';
import { exactlyOneTerminal, promptsAtMostOnce } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { eventually } from '../e2e/eventually.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

const posts = scaled(50);
const retryMs = 100;
const key = { 'idempotency-key': 'the-one' };
const prompt = 'wait: 1500 ms\nrun: echo ran >> count.txt; wc -l < count.txt';
const body = { prompt, session_id: 'once' };

/** Half of the connections lose their request, or the answer to it. */
function postPlan(random: SeededRandom): ConnectionPlan {
  const how = random.pick(['fin', 'rst'] as const);
  switch (random.between(0, 3)) {
    case 0:
      return { cut: { direction: 'up', afterBytes: random.between(0, 250), how } };
    case 1:
      return { cut: { direction: 'down', afterBytes: random.between(0, 200), how } };
    default:
      return {};
  }
}

type Posted = { readonly answer: ExecResponse; readonly attempts: number };

/** Until it is answered, through whatever happens on the way. */
async function post(proxy: FaultProxy, token: string, hasFailed: () => boolean): Promise<Posted> {
  const client = new FleetClient(proxy.url, token);
  let attempts = 0;
  const answer = await eventually('a POST is answered', 60_000, async () => {
    if (hasFailed()) throw new Error('another POST has failed');
    attempts += 1;
    try {
      const said = await client.exec(body, key);
      if (said.status === 503 || said.status === 502) return null;
      assert.ok(said.status === 200 || said.status === 202, said.text);
      return said.body;
    } catch (error) {
      // What fetch says of a connection that was cut.
      if (!(error instanceof TypeError)) throw error;
      // All at once and without a pause, they would take the time in which the fleet is to start.
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      return null;
    }
  });
  return { answer, attempts };
}

async function postAll(fleet: RunningFleet, random: SeededRandom): Promise<{ posted: Posted[]; cuts: number }> {
  const proxies: FaultProxy[] = [];
  let hasFailed = false;
  try {
    const { token } = fleet.client;
    const posted = await Promise.all(
      Array.from({ length: posts }, async () => {
        const own = seededRandom(random.between(0, 2 ** 31));
        const proxy = await FaultProxy.start({
          // A fleet that was started again is elsewhere; one that is dead is nowhere.
          target: () => ({ host: '127.0.0.1', port: fleet.isReady ? Number(new URL(fleet.client.url).port) : 1 }),
          plan: (connection) => (connection < 4 ? postPlan(own) : {}),
        });
        proxies.push(proxy);
        return await post(proxy, token, () => hasFailed);
      }),
    );
    return { posted, cuts: proxies.reduce((sum, { counts }) => sum + counts.cuts.fin + counts.cuts.rst, 0) };
  } finally {
    hasFailed = true;
    await Promise.all(proxies.map((proxy) => proxy.close()));
  }
}

async function assertOneTurn(
  fleet: RunningFleet,
  oracle: OracleModel,
  posted: readonly Posted[],
): Promise<TurnResource> {
  const { client } = fleet;
  assert.equal(new Set(posted.map(({ answer }) => answer.turn_id)).size, 1, 'every POST was told of the same turn');
  const listed = await client.request<{ data: TurnResource[] }>('GET', '/api/v1/sessions/once/turns');
  assert.equal(listed.body.data.length, 1);
  const [turn] = listed.body.data;
  assert.ok(turn !== undefined);
  const ended = await client.turnEnded(turn.session_id, turn.id, 60_000);
  const accepted = [{ sessionId: turn.session_id, turnId: turn.id, prompt }];
  const events = new Map([[turn.session_id, await client.pages(turn.session_id)]]);
  const ends = [{ turnId: turn.id, status: ended.status }];
  assert.deepEqual([...exactlyOneTerminal(accepted, events, ends), ...promptsAtMostOnce(oracle.calls, accepted)], []);

  const other = await client.exec({ ...body, prompt: 'say: another' }, key);
  assert.equal(other.status, 422, other.text);
  assert.equal((other.body as unknown as { code: string }).code, 'idempotency_key_reused');
  // The control: without the key it runs again, and the count would have shown it.
  const again = await client.exec({ ...body, prompt: 'run: echo ran >> count.txt; wc -l < count.txt' });
  const [, count] = /^\s*(\d+)\s*$/m.exec(again.body.stdout) ?? [];
  assert.ok(ended.status === 'completed' ? count === '2' : count === '1' || count === '2', again.body.stdout);
  return ended;
}

test('one Idempotency-Key in 50 POSTs at once, some cut before the answer, is one turn [exec-idempotent]', async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t), flags: oracle.flags });
  const { posted, cuts } = await postAll(fleet, random);
  const { status } = await assertOneTurn(fleet, oracle, posted);
  const attempts = posted.reduce((sum, one) => sum + one.attempts, 0);
  t.diagnostic(`${posts} POSTs, ${attempts} attempts, ${cuts} cuts, one turn, ${status}`);
  assert.equal(status, 'completed');
  assert.ok(cuts > 0, 'some were cut');
  recordReliability({
    fault: 'one Idempotency-Key in POSTs at once, connections cut before the request or its answer',
    count: `${posts} POSTs, ${attempts} attempts, ${cuts} cuts`,
    result: 'one turn, one run of its command; another body under the key is refused',
    control: 'without the key the command runs again, and its count shows it',
  });
});

test('one Idempotency-Key in 50 POSTs with the fleet killed among them is one turn [durable-key]', async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
  });
  const all = postAll(fleet, random);
  all.catch(() => undefined); // Awaited below.
  for (let kill = 0; kill < 3; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 400)));
    await fleet.restart();
  }
  const { posted, cuts } = await all;
  const { status } = await assertOneTurn(fleet, oracle, posted);
  const attempts = posted.reduce((sum, one) => sum + one.attempts, 0);
  t.diagnostic(`${posts} POSTs, ${attempts} attempts, ${cuts} cuts, 3 kills, one turn, ${status}`);
  recordReliability({
    fault: 'one Idempotency-Key in POSTs at once, with the fleet killed among them',
    count: `${posts} POSTs, ${attempts} attempts, ${cuts} cuts, 3 kills`,
    result: `one turn (${status}), run at most once`,
    control: 'without the key the command runs again, and its count shows it',
  });
});
