import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import type { WorkerResource } from '../../src/api/fleet.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import {
  epochsNeverDecrease,
  exactlyOneTerminal,
  promptsAtMostOnce,
  reReadsByteIdentical,
  seqsAreGapless,
  type AcceptedTurn,
} from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { eventually } from '../e2e/eventually.ts';
import { faultScale } from '../faults/fault-scale.ts';
import { KeptHistory } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { assertAloud, FollowedStreams, goneFrom, saysTheSameEnd, seenBySession } from './followed-streams.ts';
import { RedisAtRisk, type RedisFault, redisFaults } from './redis-at-risk.ts';
import { RunningCluster } from './running-cluster.ts';

const tenant = 'default';
const running = 3;
const resting = 2;
/** From the return of Redis until workers and leases are known again. */
const rebuiltWithinMs = 5_000;
const downMs = 2_000;
/** Longer than a lease: they run out, and nobody could renew them. */
const refusesMs = 5_000;
/** Three leases in CI; the half minute that is promised on a machine of one's own. */
const pausedMs = faultScale >= 10 ? 30_000 : 12_000;
/** Streamed after the return, at least. */
const tailMs = 5_000;
const wordMs = 50;
const endsWithinMs = 60_000;

type Stage = {
  readonly cluster: RunningCluster;
  readonly redis: RedisAtRisk;
  readonly oracle: OracleModel;
  readonly history: KeptHistory;
  readonly streams: FollowedStreams;
};

test('whatever happens to Redis, running turns go on, streams have no gap, and what was committed is there [fleet-redis]', {
  timeout: 600_000,
}, async (t) => {
  const redis = await RedisAtRisk.start(t, 'always');
  if (redis === null) return;
  await using oracle = await OracleModel.start();
  const cluster = await RunningCluster.start(t, {
    gateways: 2,
    workers: 2,
    managers: 1,
    modelFlags: oracle.flags,
    workerFlags: ['--slots', '6', '--warm-slots', '2'],
    redisUrl: redis.server.url,
  }).catch(async (error: unknown) => {
    await redis.stop();
    throw error;
  });
  assert.ok(cluster !== null);
  // Registered behind the cluster's own, it runs behind it.
  t.after(() => redis.stop());
  using history = new KeptHistory(cluster, oracle);
  const streams = new FollowedStreams(history);
  const stage: Stage = { cluster, redis, oracle, history, streams };
  try {
    await Promise.all(restNames().map((name) => history.send(`run: echo first of ${name} > first.txt`, name)));
    streams.follow(...restNames());
    for (const [number, fault] of redisFaults.entries()) {
      await t.test(`${fault.name}`, () => survives(t, stage, fault, number));
    }
    await t.test('what the clients saw hangs together, and is read again as it was', () => holds(t, stage));
    await t.test('together with a worker, in mid-turn: the tail of that turn may be lost, and is said to be', () =>
      losesTogether(t, stage),
    );
  } finally {
    const ended = streams.end();
    await cluster.restartGateways();
    await ended;
  }
});

function restNames(): string[] {
  return Array.from({ length: resting }, (_, index) => `rests-${index}`);
}

async function survives(t: TestContext, stage: Stage, fault: RedisFault, number: number): Promise<void> {
  const { cluster, history, redis } = stage;
  const awayMs = { shortly: downMs, 'for a lease': refusesMs, long: pausedMs }[fault.lasts];
  const names = Array.from({ length: running }, (_, index) => `runs-${number}-${index}`);
  const words = Math.ceil((awayMs + tailMs) / wordMs);
  const turns = await startStreams(stage, names, words, fault.name);
  const held = await leasesOf(redis, turns);

  await fault.begin(redis);
  // Taken, or refused and asked again: either is an answer, and in the end it runs once.
  const meanwhile = history.send(`say: sent while Redis was ${fault.name}`, 'rests-1');
  meanwhile.catch(() => undefined); // Awaited below.
  await new Promise((resolve) => setTimeout(resolve, awayMs));
  await fault.end(redis);

  const returnedMs = performance.now();
  const sinceReturn = (): number => Math.round(performance.now() - returnedMs);
  const [registryMs, directoryMs, oldMs, newMs] = await Promise.all([
    bothGatewaysSeeBothWorkers(cluster).then(sinceReturn),
    eventually('the leases are back', endsWithinMs, async () => {
      const now = await leasesOf(redis, turns).catch(() => null);
      return now !== null && JSON.stringify(now) === JSON.stringify(held);
    }).then(sinceReturn),
    completes(stage, `say: after ${fault.name}, an old session`, 'rests-0').then(sinceReturn),
    completes(stage, `say: after ${fault.name}, a new session`, `new-${number}`).then(sinceReturn),
  ]);
  const stillRan = await Promise.all(turns.map(({ sessionId, turnId }) => cluster.client.turn(sessionId, turnId)));
  await meanwhile;
  const ended = await Promise.all(turns.map((turn) => endOf(stage, turn)));
  const figures =
    `workers listed after ${registryMs} ms, leases back after ${directoryMs} ms; ` +
    `a turn done on an old session after ${oldMs} ms, on a new one after ${newMs} ms`;
  t.diagnostic(`${fault.name}: ${figures}; ${stillRan.filter((turn) => turn.ended_at === null).length} still ran`);

  assert.deepEqual(
    ended.map(({ status, error, reason }) => ({ status, error, reason })),
    turns.map(() => ({ status: 'completed', error: null, reason: null })),
  );
  assert.ok(registryMs <= rebuiltWithinMs, `the registry is rebuilt within ${rebuiltWithinMs} ms: ${registryMs}`);
  assert.ok(directoryMs <= rebuiltWithinMs, `the directory is rebuilt within ${rebuiltWithinMs} ms: ${directoryMs}`);
  recordReliability({
    fault: `Redis ${fault.name}, for ${awayMs / 1_000} s`,
    count: `1 time, ${turns.length} running turns`,
    result: `all turns completed, no event of theirs lost or repeated; ${figures}`,
    control: 'an event that is left out, told twice or changed is found',
  });
}

/** All that was promised of all faults together, and that each check could have said no. */
async function holds(t: TestContext, stage: Stage): Promise<void> {
  const { cluster, history, oracle, streams } = stage;
  const names = new Set(history.turns.map(({ sessionId }) => sessionId));
  const { ends, problems, turns } = await history.settle();
  assert.deepEqual(problems, []);
  const logs = new Map<string, readonly EventOnWire[]>();
  for (const sessionId of names) logs.set(sessionId, await cluster.client.pages(sessionId));
  assert.deepEqual(
    goneFrom(logs, history.seen).map(({ problem }) => problem),
    [],
  );
  assert.deepEqual(ends, { completed: turns.length });
  const seen = seenBySession(history.seen);
  for (const [sessionId, events] of seen) assertAloud(events, logs.get(sessionId) ?? []);
  const isSaid = (text: string): boolean => /"status":50[23]|store_unavailable/.test(text);
  assert.deepEqual(
    streams.refusals.filter((text) => !isSaid(text)),
    [],
  );
  assert.deepEqual(promptsAtMostOnce(oracle.calls, history.turns), []);

  const [longest = []] = [...seen.values()].toSorted((one, other) => other.length - one.length);
  const middle = Math.floor(longest.length / 2);
  const event = longest[middle] ?? assert.fail('something was seen');
  assert.throws(() => assertAloud(longest.toSpliced(middle, 1), longest), 'one left out');
  assert.throws(() => assertAloud(longest.toSpliced(middle, 0, event), longest), 'one told twice');
  const [first = assert.fail('something was seen')] = history.seen;
  assert.notDeepEqual(reReadsByteIdentical(history.seen, [{ ...first, text: `${first.text} ` }]), [], 'one changed');
}

async function losesTogether(t: TestContext, { cluster, oracle, redis }: Stage): Promise<void> {
  using history = new KeptHistory(cluster, oracle);
  const streams = new FollowedStreams(history);
  const stage: Stage = { cluster, redis, oracle, history, streams };
  const names = Array.from({ length: 2 * running }, (_, index) => `dies-${index}`);
  const committed = await Promise.all(names.map((name) => history.send(`run: echo ${name} kept > kept.txt`, name)));
  for (const turn of committed) assert.equal((await endOf(stage, turn)).status, 'completed');
  const turns = await startStreams(stage, names, 200, 'dies with a worker');
  const held = await leasesOf(redis, turns);
  const victim = held[0]?.worker ?? assert.fail('somebody holds it');
  const died = turns.filter((_, index) => held[index]?.worker === victim);
  try {
    await Promise.all([redis.killAndLoseAll(), cluster.cluster.kill9(victim)]);
    await redis.server.startAgain();
    const returnedMs = performance.now();
    const ended = await Promise.all(turns.map((turn) => endOf(stage, turn)));
    await cluster.whole();
    const allEndedMs = Math.round(performance.now() - returnedMs);
    for (const [index, turn] of turns.entries()) {
      assert.equal(ended[index]?.status, died.includes(turn) ? 'interrupted' : 'completed', turn.prompt);
    }
    for (const name of names) await completes(stage, `say: after both died, ${name}`, name);

    let lost = 0;
    for (const { sessionId, turnId } of turns) {
      const isOfVictim = died.some((turn) => turn.turnId === turnId);
      const log = await cluster.client.pages(sessionId);
      const own = new Map([[sessionId, log]]);
      const ends = (await turnsOf(cluster, sessionId)).map(({ id, status }) => ({ turnId: id, status }));
      const accepted = history.turns.filter((turn) => turn.sessionId === sessionId);
      const problems = [
        ...seqsAreGapless(own),
        ...epochsNeverDecrease(own),
        ...exactlyOneTerminal(accepted, own, ends),
      ];
      assert.deepEqual(problems, []);
      // The client has seen the last event by now, and then all that it was told before.
      const last = log.at(-1) ?? assert.fail('the log has events');
      await eventually('the client has come to the end', endsWithinMs, () =>
        history.seen.some((one) => one.sessionId === sessionId && one.seq === last.seq),
      );
      const seen = history.seen.filter((one) => one.sessionId === sessionId);
      const kept = new Map(log.map((event) => [event.seq, JSON.stringify(event)]));
      const gone = seen.filter(({ seq, text }) => kept.get(seq) !== text);
      lost += gone.length;
      if (!isOfVictim) assert.deepEqual(gone, [], 'whose worker lives has lost nothing');
      for (const { text } of gone) {
        const event = JSON.parse(text) as EventOnWire;
        // What a commit seals goes up to the end of the turn, which is told behind it: it is told again.
        const isToldAgain = log.some((one) => saysTheSameEnd(one, event));
        assert.ok(event.turn_id === turnId || isToldAgain, `only of the cut turn: ${text}`);
        assert.ok(event.turn_id !== turnId || !isTerminalEventType(event.type), `no end: ${text}`);
      }
      assertAloud(seenBySession(seen).get(sessionId) ?? [], log);
    }
    assert.deepEqual(
      promptsAtMostOnce(
        oracle.calls.filter(({ prompt }) => isOf(history.turns, prompt)),
        history.turns,
      ),
      [],
    );
    const result =
      `${died.length} turns interrupted, ${turns.length - died.length} of the other worker completed, all ${names.length} committed turns there; ` +
      `${lost} events of the cut turns that clients had seen are gone, each told by a later epoch; all ended ${allEndedMs} ms after Redis came back`;
    t.diagnostic(`both died: ${result}`);
    recordReliability({
      fault: 'a worker and Redis killed together in mid-turn, Redis started again empty',
      count: `1 time, ${turns.length} running turns`,
      result,
      control: 'an event that is left out, told twice or changed is found',
    });
  } finally {
    const done = streams.end();
    await cluster.restartGateways();
    await done;
  }
}

function isOf(turns: readonly AcceptedTurn[], prompt: string): boolean {
  return turns.some((turn) => turn.prompt === prompt);
}

/** Resolves when each of them streams, and somebody sees it. */
async function startStreams(
  stage: Stage,
  names: readonly string[],
  words: number,
  why: string,
): Promise<AcceptedTurn[]> {
  const { history, streams } = stage;
  const turns = await Promise.all(
    names.map((name) => history.send(`stream: ${words} words at ${wordMs} ms\nsay: ${name}, ${why}`, name)),
  );
  streams.follow(...names);
  await eventually('every turn streams', endsWithinMs, () =>
    turns.every(
      ({ sessionId, turnId }) =>
        history.seen.filter((one) => one.sessionId === sessionId && one.text.includes(turnId)).length > 10,
    ),
  );
  return turns;
}

async function leasesOf(
  redis: RedisAtRisk,
  turns: readonly AcceptedTurn[],
): Promise<{ worker: string; epoch: number }[]> {
  return await Promise.all(
    turns.map(async ({ sessionId }) => {
      const { epoch = 0, worker = 'nobody' } = (await redis.directory.lookup(tenant, sessionId)) ?? {};
      return { worker, epoch };
    }),
  );
}

async function bothGatewaysSeeBothWorkers(cluster: RunningCluster): Promise<void> {
  const isSeen = async (number: number): Promise<boolean> => {
    const answer = await cluster.gateway(number).request<ListOf<WorkerResource>>('GET', '/api/v1/workers');
    return answer.status === 200 && answer.body.data.filter(({ status }) => status === 'ready').length === 2;
  };
  await eventually('both gateways list both workers', endsWithinMs, async () => (await isSeen(1)) && (await isSeen(2)));
}

async function completes(stage: Stage, prompt: string, name: string): Promise<void> {
  const ended = await endOf(stage, await stage.history.send(prompt, name));
  assert.equal(ended.status, 'completed', JSON.stringify(ended));
}

async function endOf({ cluster }: Pick<Stage, 'cluster'>, { sessionId, turnId }: AcceptedTurn): Promise<TurnResource> {
  const path = `/api/v1/sessions/${sessionId}/turns/${turnId}`;
  return await eventually(`turn ${turnId} ends`, endsWithinMs, async () => {
    const { body, status } = await cluster.client.request<TurnResource>('GET', path);
    return status === 200 && body.ended_at !== null ? body : null;
  });
}

async function turnsOf(cluster: RunningCluster, sessionId: string): Promise<readonly TurnResource[]> {
  const path = `/api/v1/sessions/${sessionId}/turns?limit=100`;
  return (await cluster.client.request<ListOf<TurnResource>>('GET', path)).body.data;
}
