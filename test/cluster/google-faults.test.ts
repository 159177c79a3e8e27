import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import type { JobResource } from '../../src/api/jobs.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import {
  promptsAtMostOnce,
  remembersAll,
  reReadsByteIdentical,
  type AcceptedTurn,
} from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { eventually } from '../e2e/eventually.ts';
import { seededRun } from '../faults/fault-scale.ts';
import { KeptHistory } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { linesWrong } from './done-lines.ts';
import { assertAloud, FollowedStreams, goneFrom, seenBySession } from './followed-streams.ts';
import { GoogleAtRisk, type GoogleFault, googleFaults } from './google-at-risk.ts';
import { type Measured, MeasuredClient, untypedOrLate } from './measured-client.ts';
import { RunningCluster } from './running-cluster.ts';

const running = 2;
const resting = 3;
const wordMs = 50;
/** Streamed after the fault, at least. */
const tailMs = 1_000;
/** A store's call may take ten seconds, and an answer needs several of them, of which one may be repeated. */
const mostAnswerMs = 30_000;
/** From a fault's end until turns are done again. */
const worksAgainWithinMs = 20_000;
const endsWithinMs = 90_000;
const published = 'say: published afterwards';
const asksEveryMs = 700;
/** What a client may be told while a store is away. */
const refusals = ['store_unavailable', 'store_conflict', 'no_worker_ready', 'worker_unreachable', 'worker_lost'];

type Stage = {
  readonly cluster: RunningCluster;
  readonly google: GoogleAtRisk;
  readonly oracle: OracleModel;
  readonly history: KeptHistory;
  readonly streams: FollowedStreams;
  /** All answers so far. */
  readonly measures: Measured[];
  readonly client: () => MeasuredClient;
};

test('whatever happens to Firestore and Cloud Storage, no accepted turn is lost and none runs twice; who asks meanwhile gets a typed answer in time', {
  timeout: 600_000,
}, async (t) => {
  const google = await GoogleAtRisk.start(t, seededRun(t));
  if (google === null) return;
  await using oracle = await OracleModel.start();
  const cluster = await RunningCluster.start(t, {
    gateways: 2,
    workers: 2,
    managers: 1,
    storage: 'google',
    google: google.services,
    modelFlags: oracle.flags,
    workerFlags: ['--slots', '6', '--warm-slots', '2'],
    // Sessions that rest are woken.
    env: { ...google.environment, CODEX_FLEET_WORKER_HIBERNATE_AFTER_MS: '3000' },
  }).catch(async (error: unknown) => {
    google.stop();
    throw error;
  });
  if (cluster === null) return google.stop();
  // Registered behind the cluster's own, it runs behind it.
  t.after(() => google.stop());
  const measures: Measured[] = [];
  const client = (): MeasuredClient => new MeasuredClient(cluster.client, measures);
  const fleet = {
    get client() {
      return client();
    },
    get isReady() {
      return cluster.isReady;
    },
    get starts() {
      return cluster.starts;
    },
  };
  using history = new KeptHistory(fleet, oracle);
  const streams = new FollowedStreams(history);
  const stage: Stage = { cluster, google, oracle, history, streams, measures, client };
  try {
    await Promise.all(restNames().map((name) => history.send(doing(`first-of-${name}`), name)));
    streams.follow(...restNames());
    for (const [number, fault] of googleFaults.entries()) {
      await t.test(fault.name, () => survives(t, stage, fault, number));
    }
    await t.test('Pub/Sub killed and started again: what is published then is done', () => pubsubComesBack(t, stage));
    await t.test('what clients saw hangs together, files and memory are whole', () => holds(t, stage));
  } finally {
    google.mend();
    const ended = streams.end();
    await cluster.restartGateways();
    await ended;
  }
});

function restNames(): string[] {
  return Array.from({ length: resting }, (_, index) => `rests-${index}`);
}

/** A line in a file, and so many words in between. */
function doing(line: string, words = 0): string {
  const streamed = words === 0 ? '' : `stream: ${words} words at ${wordMs} ms\n`;
  return `run: echo ${line} >> done.txt\n${streamed}say: ${line}`;
}

async function survives(t: TestContext, stage: Stage, fault: GoogleFault, number: number): Promise<void> {
  const { client, cluster, google, history, measures, streams } = stage;
  const names = Array.from({ length: running }, (_, index) => `runs-${index}`);
  const words = Math.ceil((fault.lastsMs + tailMs) / wordMs);
  const long = await Promise.all(names.map((name) => history.send(doing(`long-${number}-${name}`, words), name)));
  // Its end, and with it its commit, falls into the fault.
  const ending = await history.send(doing(`ends-${number}`, Math.ceil(fault.lastsMs / 2 / wordMs)), 'ends');
  streams.follow(...names, 'ends');
  const waitedPrompt = doing(`waited-${number}`, words);
  const waited = client().exec(
    { prompt: waitedPrompt, session_id: 'waits', wait_ms: 2_500 },
    { 'idempotency-key': `waited-${number}` },
  );
  waited.catch(() => undefined); // Awaited below.
  await eventually('every turn streams', endsWithinMs, () =>
    [...long, ending].every(({ turnId }) => history.seen.filter(({ text }) => text.includes(turnId)).length > 8),
  );
  await eventually('the one that is waited for runs', endsWithinMs, async () => {
    return (await cluster.client.session('waits')).status === 'running';
  });

  const from = measures.length;
  google.forget();
  await fault.begin(google);
  let isOver = false;
  const asking = asksMeanwhile(stage, number, () => isOver);
  asking.catch(() => undefined); // Awaited below.
  try {
    if (fault.killsWorker) {
      const holder = (await client().session(long[0]?.sessionId ?? '')).worker;
      await cluster.cluster.kill9(holder ?? 'worker-1');
    }
    await new Promise((resolve) => setTimeout(resolve, fault.lastsMs));
  } finally {
    await fault.end(google);
    isOver = true;
  }
  const endedMs = performance.now();
  const sinceEnd = (): number => Math.round(performance.now() - endedMs);
  const [oldMs, newMs] = await Promise.all([
    completes(stage, doing(`old-${number}`), 'rests-0').then(sinceEnd),
    completes(stage, doing(`new-${number}`), `new-${number}`).then(sinceEnd),
  ]);
  await asking;
  const answer = await waited;
  // It was accepted before: that a store is away is no answer to who waits for it.
  assert.ok(answer.status === 200 || answer.status === 202, answer.text);
  const inTurn = { sessionId: answer.body.session_id, turnId: answer.body.turn_id, prompt: waitedPrompt };
  history.turns.push(inTurn);
  const ended = await Promise.all([...long, ending, inTurn].map((turn) => endOf(stage, turn)));
  await cluster.whole();

  const asked = measures.slice(from);
  const slowest = asked.toSorted((one, other) => other.elapsedMs - one.elapsedMs)[0];
  const slowestMs = Math.round(slowest?.elapsedMs ?? 0);
  const refused = asked.filter(({ code }) => code !== null);
  const figures =
    `${asked.length} requests, ${refused.length} refused ${JSON.stringify(countBy(refused.map(({ code }) => String(code))))}, ` +
    `the slowest answer after ${slowestMs} ms; a turn done on an old session ${oldMs} ms after it, on a new one ${newMs} ms`;
  t.diagnostic(`${fault.name}: ${google.spoilt} spoilt; ${figures} (${slowest?.asked} ${slowest?.status})`);
  for (const method of fault.meets ?? []) assert.ok(google.methods.has(method), `${method} has met it`);
  assert.deepEqual(untypedOrLate(asked, refusals, mostAnswerMs), []);
  const died = fault.killsWorker === true ? ['completed', 'interrupted'] : ['completed'];
  for (const { error, id, status } of ended)
    assert.ok(died.includes(status), `${id} ${status} ${JSON.stringify(error)}`);
  assert.ok(Math.max(oldMs, newMs) <= worksAgainWithinMs, `it works again within ${worksAgainWithinMs} ms: ${figures}`);
  recordReliability({
    fault: `${fault.name}, for ${fault.lastsMs / 1_000} s, while turns run, end and are asked for`,
    count: `1 time, ${ended.length} running turns, ${asked.length} requests`,
    result: `each accepted turn ended once, none ran twice; ${figures}`,
    control: 'an answer without a code, a late one, a second run, a lost line or event are each found',
  });
}

/** Turns, waits, lists and files, again and again. Resolves when every prompt of it was accepted. */
async function asksMeanwhile({ client, history }: Stage, number: number, isOver: () => boolean): Promise<void> {
  const again = async (ask: (time: number) => Promise<unknown>): Promise<void> => {
    for (let time = 0; !isOver(); time += 1) {
      await ask(time);
      await new Promise((resolve) => setTimeout(resolve, asksEveryMs));
    }
  };
  await Promise.all([
    again((time) => history.send(doing(`asked-${number}-${time}`), 'rests-1')),
    again((time) => history.send(doing(`waits-${number}-${time}`), 'rests-2', { background: false, wait_ms: 1_000 })),
    again(() => client().request('GET', '/api/v1/sessions/rests-0')),
    again(() => client().request('GET', '/api/v1/sessions?limit=50')),
    again(() => client().request('GET', '/api/v1/sessions/rests-0/files/done.txt')),
  ]);
}

async function pubsubComesBack(t: TestContext, stage: Stage): Promise<void> {
  const { cluster, google, history, measures } = stage;
  const { pubsub } = google.services;
  const from = measures.length;
  await pubsub.kill9();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  // Who only prompts does not notice.
  await completes(stage, 'say: without Pub/Sub', 'no-pubsub');
  await pubsub.startAgain();
  // It has forgotten everything, as Pub/Sub would not.
  await google.services.prepare();
  const startedMs = performance.now();
  const data = Buffer.from(JSON.stringify({ prompt: published }));
  await pubsub.admin.topic('jobs').publishMessage({ data });
  const done = await eventually('the published job is done', endsWithinMs, async () => {
    const { body } = await cluster.client.request<{ data: JobResource[] }>('GET', '/api/v1/jobs?limit=100');
    return body.data.find(({ status }) => status === 'completed');
  });
  const doneMs = Math.round(performance.now() - startedMs);
  const { session_id: sessionId, turn_id: turnId } = done;
  history.turns.push({ sessionId: sessionId ?? '', turnId: turnId ?? '', prompt: published });
  t.diagnostic(`the job ${done.id} was done ${doneMs} ms after Pub/Sub came back`);
  assert.deepEqual(untypedOrLate(measures.slice(from), [], mostAnswerMs), []);
  recordReliability({
    fault: 'the Pub/Sub emulator killed and started again empty, its topics and subscriptions made again',
    count: '1 time, 1 message',
    result: `prompts were answered meanwhile; a message published afterwards was a job that was done after ${doneMs} ms`,
    control: 'without its subscription nothing is read, and the wait for the job fails',
  });
}

/** All that was promised of all faults together, and that each check could have said no. */
async function holds(t: TestContext, stage: Stage): Promise<void> {
  const { cluster, history, measures, oracle, streams } = stage;
  const ids = [...new Set(history.turns.map(({ sessionId }) => sessionId))];
  await Promise.all(ids.map((id, index) => completes(stage, `say: remember ${index}`, id)));
  for (const id of new Set(history.seen.map(({ sessionId }) => sessionId))) await isAtRest(stage, id);
  const settled = await history.settle();
  assert.deepEqual(settled.problems, []);
  t.diagnostic(`${JSON.stringify(settled.ends)} of ${settled.turns.length} turns in ${ids.length} sessions`);
  const logs = new Map<string, readonly EventOnWire[]>();
  for (const id of ids) logs.set(id, await cluster.client.pages(id));
  assert.deepEqual(
    goneFrom(logs, history.seen).map(({ problem }) => problem),
    [],
  );
  const seen = seenBySession(history.seen);
  for (const [id, events] of seen) assertAloud(events, logs.get(id) ?? []);
  const isSaid = (text: string): boolean => /"status":50[23]|store_unavailable/.test(text);
  assert.deepEqual(
    streams.refusals.filter((text) => !isSaid(text)),
    [],
  );
  for (const id of ids) {
    assert.deepEqual(await linesWrong(cluster, id, settled), []);
    const committed = settled.turns.filter(({ session_id, status }) => session_id === id && status === 'completed');
    // The newest is listed first.
    const prompts = committed.map(({ prompt }) => prompt).toReversed();
    const calls = oracle.calls.filter(({ prompt }) => prompt === prompts.at(-1));
    assert.deepEqual(remembersAll(calls, prompts), []);
    const forgetful = calls.map((call) => ({ ...call, earlierPrompts: call.earlierPrompts.slice(1) }));
    assert.notDeepEqual(remembersAll(forgetful, prompts), [], 'one that forgets is found');
  }
  assertCanFail(stage);
  const slowestMs = Math.round(Math.max(...measures.map(({ elapsedMs }) => elapsedMs)));
  t.diagnostic(`${measures.length} requests in all, the slowest answer after ${slowestMs} ms`);
}

/** Nothing more comes, and who follows has seen it: what is seen behind the reading would pass for gone. */
async function isAtRest({ cluster, history }: Stage, sessionId: string): Promise<void> {
  await eventually(`session ${sessionId} hibernates, and that is seen`, endsWithinMs, async () => {
    const last = (await cluster.client.pages(sessionId)).at(-1);
    return last?.type === 'session.hibernated' && history.seen.some(({ text }) => text === JSON.stringify(last));
  });
}

function assertCanFail({ history, measures, oracle }: Stage): void {
  const [event = assert.fail('something was seen')] = history.seen;
  assert.notDeepEqual(reReadsByteIdentical(history.seen, [{ ...event, text: `${event.text} ` }]), [], 'one changed');
  const [call = assert.fail('the model was asked')] = oracle.calls;
  assert.notDeepEqual(promptsAtMostOnce([call, { ...call, codexTurn: 'another' }], history.turns), [], 'run twice');
  const [measure = assert.fail('something was asked')] = measures;
  for (const spoilt of [
    { ...measure, code: 'none' },
    { ...measure, code: 'internal' },
    { ...measure, elapsedMs: mostAnswerMs + 1 },
  ])
    assert.deepEqual(untypedOrLate([spoilt], refusals, mostAnswerMs), [spoilt]);
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

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
