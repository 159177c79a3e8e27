// How many operations of Firestore and Cloud Storage a turn takes, and an idle fleet; and what they cost.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JobResource } from '../../src/api/jobs.ts';
import type { Benchmark, Fact, Lab } from '../harness/benchmark.ts';
import { compare, type Finding } from '../harness/finding.ts';
import { interleave } from '../harness/interleave.ts';
import { googlePrices, pricesInWords } from '../google-prices.ts';
import { CountedCluster } from '../parts/counted-cluster.ts';
import { countWork, findingsOf, idleFacts, idleMinute, inWords, monthOf, type Work } from '../parts/counted-work.ts';
import type { HeldObjects } from '../parts/google-facts.ts';
import { lackingForGoogle } from '../parts/google-stores.ts';

const slots = 10;
const boundSessions = 4;
const longTurnSeconds = 20;
/** Of each call, to find out how many are in the way of an answer. */
const delayMs = 50;
const million = 1_000_000;
const KiB = 1024;
const GiB = KiB ** 3;
const TiB = KiB ** 4;

export const googleOperations: Benchmark = {
  name: 'google-cost',
  title: 'Firestore and Cloud Storage operations per turn, and their price',
  method:
    'The roles of a cluster (1 gateway, 1 worker, 1 session manager that leads, the real Codex, the demo model), composed as their ' +
    'commands do, in one process, on Firestore’s emulator and a local server of Cloud Storage’s API. Counted are documents and ' +
    'calls as they are billed (a query is a read for each document that it finds, and at least one; removing an object is free), ' +
    'from the request until nothing more is written; what the idle fleet asks in the same time is taken off and told by itself. ' +
    'Dollars are for a million of them at list price. The control is the second half against the first. *Calls in the way*: by how ' +
    `many calls’ time the answer comes later when each call to that service takes ${delayMs} ms more; the control is the undelayed ` +
    'again.',
  limitMs: 12 * 60_000,
  lacking: lackingForGoogle,
  run: async (lab) => {
    const cluster = await CountedCluster.start(lab, slots);
    await cluster.isQuiet();
    const idleMs = lab.size(60_000, 15_000);
    const empty = await idleMinute(cluster, idleMs);
    const sessionIds: string[] = [];
    while (sessionIds.length < boundSessions) sessionIds.push((await cluster.exec('say: pong', null)).session_id);
    const [sessionId = ''] = sessionIds;
    await cluster.isQuiet();
    const idle = await idleMinute(cluster, idleMs);

    const findings: Finding[] = [];
    const facts: Fact[] = [];
    const count = async (work: Work): Promise<void> => {
      const halves = await countWork(cluster, idle, work);
      findings.push(...findingsOf(work, halves));
      facts.push({ what: `${work.what}, by who asks for what`, value: inWords(halves) });
    };
    await countTurns(lab, cluster, sessionId, count, facts);
    await count({
      what: `${longTurnSeconds} s of words, beside ${boundSessions - 1} others`,
      times: 1,
      each: boundSessions,
      once: () =>
        Promise.all(sessionIds.map((id) => cluster.exec(`stream: ${longTurnSeconds * 10} words at 100 ms`, id))),
    });
    await countWebhook(lab, cluster, sessionId, count);
    await countNewSessions(lab, cluster, count);
    await count({
      what: 'coming to rest, and a word that wakes',
      times: lab.size(5, 2),
      once: async () => {
        await cluster.ask('POST', `/api/v1/sessions/${sessionId}/hibernate`);
        await cluster.exec('say: pong', sessionId);
      },
    });
    findings.push(...(await callsInTheWay(lab, cluster, sessionId)));
    const looks = 'session-manager reads sessions';
    const perSession = ((idle[looks] ?? 0) - (empty[looks] ?? 0)) / boundSessions;
    return {
      findings,
      facts: [
        ...facts,
        ...idleFacts('idle, nothing bound', empty),
        ...idleFacts(`idle, ${boundSessions} sessions bound`, idle),
        { what: 'each session that is bound', value: monthOf(perSession) },
        {
          what: 'a job that comes by Pub/Sub, or an event that is published there',
          value: `of up to 1,000 bytes, published and delivered once: $${((2 * 1_000 * million * googlePrices.messages.dollars) / TiB).toFixed(2)} for a million`,
        },
        { what: 'list prices', value: pricesInWords() },
      ],
    };
  },
};

type Count = (work: Work) => Promise<void>;

async function countTurns(
  lab: Lab,
  cluster: CountedCluster,
  sessionId: string,
  count: Count,
  facts: Fact[],
): Promise<void> {
  const times = lab.size(20, 5);
  const before = await held(cluster);
  await count({ what: 'a word', times, once: () => cluster.exec('say: pong', sessionId) });
  const bytes = ((await held(cluster)).bytes - before.bytes) / (2 * times);
  const dollars = (bytes * million * googlePrices.storageStored.dollars) / GiB;
  facts.push({
    what: 'a word, what it leaves in Cloud Storage',
    value: `${(bytes / KiB).toFixed(1)} KiB, of a million $${dollars.toFixed(2)} a month`,
  });
  let version = 0;
  const write = (): string => `write: notes.txt: the ${(version += 1)}th version`;
  await count({ what: 'a file written', times, once: () => cluster.exec(write(), sessionId) });
}

async function held(cluster: CountedCluster): Promise<HeldObjects> {
  return await cluster.stores.storage.ask<HeldObjects>('held');
}

async function countWebhook(lab: Lab, cluster: CountedCluster, sessionId: string, count: Count): Promise<void> {
  let received = 0;
  const receiver = createServer((request, response) => {
    received += 1;
    request.resume();
    response.writeHead(204).end();
  });
  lab.defer(() => void receiver.close());
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  const { id } = await cluster.ask<{ id: string }>('POST', '/api/v1/webhooks', { url });
  await cluster.isQuiet();
  const times = lab.size(10, 4);
  received = 0;
  await count({
    what: 'a word, told to a webhook',
    times,
    once: () => cluster.exec('say: pong', sessionId),
    after: async () => {
      if (received < times) throw new Error(`the webhook was told ${received} times of ${times} turns`);
    },
  });
  await cluster.ask('DELETE', `/api/v1/webhooks/${id}`);
  await cluster.isQuiet();
}

/** They hold slots: those that were counted are put to rest before the next. */
async function countNewSessions(lab: Lab, cluster: CountedCluster, count: Count): Promise<void> {
  const jobs: string[] = [];
  const made: string[] = [];
  const putToRest = async (): Promise<void> => {
    for (const id of made.splice(0)) await cluster.ask('POST', `/api/v1/sessions/${id}/hibernate`);
    await cluster.isQuiet();
  };
  await count({
    what: 'a new session and its first word',
    times: lab.size(4, 1),
    once: async () => made.push((await cluster.exec('say: pong', null)).session_id),
    after: putToRest,
  });
  await count({
    what: 'a job of a word, in a session of its own',
    times: lab.size(4, 1),
    once: async () => jobs.push((await cluster.ask<JobResource>('POST', '/api/v1/jobs', { prompt: 'say: pong' })).id),
    after: async () => {
      for (const id of jobs.splice(0)) {
        const { session_id: sessionId, status } = await cluster.ask<JobResource>('GET', `/api/v1/jobs/${id}`);
        if (status !== 'completed' || sessionId === null) throw new Error(`a job is ${status}`);
        made.push(sessionId);
      }
      await putToRest();
    },
  });
}

async function callsInTheWay(lab: Lab, cluster: CountedCluster, sessionId: string): Promise<readonly Finding[]> {
  const turn = (prompt: string, firestoreMs: number, storageMs: number) => async (): Promise<number[]> => {
    cluster.firestoreDelayMs = firestoreMs;
    await cluster.stores.storage.ask('delay', storageMs);
    const startedMs = performance.now();
    await cluster.exec(prompt, sessionId);
    return [(performance.now() - startedMs) / delayMs];
  };
  const findings: Finding[] = [];
  const schedule = { rounds: lab.size(5, 2), runsPerRound: lab.size(6, 3), warmUps: 1 };
  for (const [what, prompt] of [
    ['a word', 'say: pong'],
    ['a file written', 'write: notes.txt: once more'],
  ] as const) {
    const { storage, ...others } = await interleave(
      {
        baseline: turn(prompt, 0, 0),
        control: turn(prompt, 0, 0),
        ours: turn(prompt, delayMs, 0),
        storage: turn(prompt, 0, delayMs),
      },
      schedule,
    );
    const common = { unit: 'calls', quantile: 0.5, as: 'added', bar: null } as const;
    findings.push(
      compare({ ...common, what: `${what}: Firestore calls in the way`, rounds: others }),
      compare({ ...common, what: `${what}: Storage calls in the way`, rounds: { ...others, ours: storage } }),
    );
  }
  await turn('say: pong', 0, 0)();
  return findings;
}
