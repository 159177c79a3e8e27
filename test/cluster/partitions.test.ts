import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochsNeverDecrease } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { eventually } from '../e2e/eventually.ts';
import { scaled, seededRun } from '../faults/fault-scale.ts';
import { KeptHistory } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { type LinkFault, linkFaults } from './faulty-link.ts';
import { type Pair, pairs, PartitionedCluster } from './partitioned-cluster.ts';
import type { RunningCluster } from './running-cluster.ts';

const rounds = scaled(14);
const sessions = 10;
const everyMs = 900;
/** From half a lease to one and a half. */
const faultMs = { least: 2_000, most: 6_000 } as const;
const pauseMs = 1_500;

function promptOf(number: number): string {
  const name = `turn ${number}`;
  const scripts = [
    `say: ${name}`,
    `run: echo ${name} >> done.txt`,
    `stream: 40 words at 40 ms\nsay: ${name}`,
    `run: echo ${name} one >> done.txt\nrun: sleep 1 && echo ${name} two >> done.txt\nsay: ${name}`,
  ];
  return scripts[number % scripts.length] ?? '';
}

test('whichever way between two roles is slow, cut or silent, each accepted turn ends once, runs at most once, and no stream loses an event [fleet-partition]', {
  timeout: 240_000 + rounds * 15_000,
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const cluster = await PartitionedCluster.start(t, {
    modelFlags: oracle.flags,
    workerFlags: ['--slots', '6', '--warm-slots', '2'],
  });
  if (cluster === null) return;
  const { running } = cluster;
  using history = new KeptHistory(running, oracle);
  const names = Array.from({ length: sessions }, (_, index) => `parted-${index}`);
  let isOver = false;
  const watching = Promise.all(
    names.map(async (name) => {
      while (!isOver) {
        if (history.has(name)) await history.watch(name);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }),
  );
  const sent: Promise<unknown>[] = [];
  const sending = (async () => {
    for (let number = 0; !isOver; number += 1) {
      sent.push(history.send(promptOf(number), names[number % names.length] ?? '', { queue_timeout_ms: 300_000 }));
      sent.at(-1)?.catch(() => undefined); // Awaited below.
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  })();
  for (const awaited of [watching, sending]) awaited.catch(() => undefined); // Awaited below.
  try {
    const done: string[] = [];
    for (const { pair, fault } of plannedRounds(random)) {
      done.push(await oneRound(cluster, random, pair, fault));
      t.diagnostic(done.at(-1) ?? '');
    }
    isOver = true;
    await sending;
    await Promise.all(sent);
    await running.whole();
    const { ends, problems } = await history.settle();
    await running.restartGateways();
    await watching;
    t.diagnostic(`${history.turns.length} turns, ${JSON.stringify(ends)}, ${history.seen.length} events seen`);
    assert.deepEqual(problems, []);
    for (const pair of pairs) assert.ok(cluster.connections(pair) > 0, `${pair} is used`);
    recordReliability({
      fault:
        'a way between two roles, or to Redis, is slow, drips, is reset, silent, half open or refused, for 2 to 6 s',
      count: `${done.length} partitions, ${history.turns.length} turns`,
      result: `${JSON.stringify(ends)}: each ended once and ran at most once; ${history.seen.length} events were seen, and none was lost or changed`,
      control: 'a history with a second end, a gap, an older epoch, another text or a prompt run twice is refused',
    });
  } finally {
    isOver = true;
    await running.restartGateways();
    await Promise.allSettled([watching, sending, ...sent]);
  }
});

test('a worker that has lost Redis alone works on until another has taken its session, and writes nothing afterwards [fleet-partition]', {
  timeout: 180_000,
}, async (t) => {
  await using oracle = await OracleModel.start();
  const cluster = await PartitionedCluster.start(t, { modelFlags: oracle.flags, workerFlags: ['--slots', '6'] });
  if (cluster === null) return;
  const { running } = cluster;
  using history = new KeptHistory(running, oracle);
  const made = await running.client.request('POST', '/api/v1/sessions', { id: 'cut-off', on_interrupt: 'continue' });
  assert.equal(made.status, 201, made.text);
  const steps = Array.from({ length: 40 }, (_, step) => `run: echo ${step} >> steps.txt && sleep 0.5`).join('\n');
  const turn = await history.send(`${steps}\nsay: the end`, 'cut-off');
  const owner = await eventually('it runs', 30_000, async () => {
    const { status, worker } = await running.client.session('cut-off');
    return status === 'running' && (await filesBegun(running)) ? worker : null;
  });

  const { mend } = cluster.spoil('worker–redis', 'black_hole', () => [owner]);
  const taken = await eventually('another worker has it', 60_000, async () => {
    const { worker } = await running.client.session('cut-off');
    return worker !== null && worker !== owner ? worker : null;
  });
  assert.notEqual(taken, owner);
  const cut = await running.client.turnEnded(turn.sessionId, turn.turnId, 30_000);
  assert.deepEqual([cut.status, cut.reason], ['interrupted', 'worker_lost']);
  // What the first owner tried to write meanwhile arrives now.
  await mend();
  const { problems, turns, ends } = await history.settle();
  assert.deepEqual(problems, []);
  assert.deepEqual(
    turns.map(({ status }) => status),
    ['completed', 'interrupted'],
    'the newest first',
  );
  await eventually('the first owner holds nothing any more', 30_000, async () => {
    const { body } = await running.client.request<{ data: { id: string; busy_sessions: number }[] }>(
      'GET',
      '/api/v1/workers',
    );
    return body.data.find(({ id }) => id === owner)?.busy_sessions === 0;
  });

  const events = await running.client.pages('cut-off');
  const epochs = new Set(events.map(({ cursor }) => cursor.split('.')[0]));
  assert.equal(epochs.size, 2, 'one taking over');
  const last = events.at(-1) ?? assert.fail('there are events');
  const stale = { ...last, seq: last.seq + 1, cursor: `1.${last.seq + 1}` };
  assert.equal(epochsNeverDecrease(new Map([['cut-off', [...events, stale]]])).length, 1, 'the check can fail');
  t.diagnostic(JSON.stringify(ends));
  recordReliability({
    fault: 'a worker with a running turn loses Redis alone, for longer than its lease',
    count: 1,
    result: 'another took the session over and went on with the turn; nothing of the first owner came behind that',
    control: 'an event of the older epoch behind the newer is found',
  });
});

type Round = { readonly pair: Pair; readonly fault: LinkFault };

/** Every pair in turn, each time with another fault, all in an order by the seed. */
function plannedRounds(random: SeededRandom): Round[] {
  const planned: Round[] = [];
  while (planned.length < rounds) {
    const shift = random.between(0, linkFaults.length - 1);
    const faults = shuffled(random, linkFaults);
    for (const [index, pair] of shuffled(random, pairs).entries()) {
      planned.push({ pair, fault: faults[(index + shift) % faults.length] ?? 'reset' });
    }
  }
  return planned.slice(0, rounds);
}

async function oneRound(
  cluster: PartitionedCluster,
  random: SeededRandom,
  pair: Pair,
  fault: LinkFault,
): Promise<string> {
  const isAll = random.between(0, 3) === 0;
  const { mend, members } = cluster.spoil(pair, fault, (names) => (isAll ? names : [random.pick(names)]));
  const forMs = random.between(faultMs.least, faultMs.most);
  await new Promise((resolve) => setTimeout(resolve, forMs));
  await mend();
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  return `${pair} ${fault} for ${forMs} ms, of ${members.join(' and ')}`;
}

async function filesBegun(running: RunningCluster): Promise<boolean> {
  const { status } = await running.client.request('GET', '/api/v1/sessions/cut-off/files/steps.txt');
  return status === 200;
}

function shuffled<T>(random: SeededRandom, all: readonly T[]): T[] {
  const rest = [...all];
  return Array.from({ length: all.length }, () => rest.splice(random.between(0, rest.length - 1), 1)).flat();
}
