// What a committed turn takes in a local cluster: records in SQLite and snapshots as files, and both at Google's.

import path from 'node:path';
import { locateCodex } from '../../src/codex/binary.ts';
import type { Benchmark } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { type Compared, compare, type Finding } from '../harness/finding.ts';
import { interleave, type Rounds } from '../harness/interleave.ts';
import { BareAgent } from '../parts/bare-agent.ts';
import { BenchCluster } from '../parts/bench-cluster.ts';
import { GoogleStores, lackingForGoogle } from '../parts/google-stores.ts';

const prompt = 'say: pong';
const roles = { gateways: 1, workers: 1, managers: 1, slots: 3, warmSlots: 1 };

type Session = { readonly cluster: BenchCluster; readonly id: string };

export const googleExec: Benchmark = {
  name: 'google',
  title: 'exec in a local cluster: SQLite, and Firestore with Cloud Storage',
  method:
    'Two local clusters (1 gateway, 1 worker, 1 session manager, Redis, the real Codex, the demo model), one with its records in ' +
    'SQLite and its snapshots as files, one with Firestore’s emulator and a local server of Cloud Storage’s API. `POST /api/v1/exec` ' +
    'on a bound session, from the request to the whole answer, by which the turn is committed. *Added*: against the same turn on a ' +
    'bare `codex app-server` over stdio; the control is a second one. *A turn with Google*: against SQLite; the control is another ' +
    'session there. All in random order. The emulator is on this machine: Google’s own services answer later (see the calls in a ' +
    'turn’s way in the section below).',
  limitMs: 8 * 60_000,
  lacking: lackingForGoogle,
  run: async (lab) => {
    const binary = await locateCodex();
    const { ready } = await Child.start<{ baseUrl: string }>(lab, 'demo-model-child.ts');
    const bare = await BareAgent.start(lab, binary, ready.baseUrl);
    const again = await BareAgent.start(lab, binary, ready.baseUrl);
    const stores = await GoogleStores.start(lab);
    const inFiles = await BenchCluster.start(lab, { ...roles, dir: path.join(lab.dir, 's') });
    const atGoogle = await BenchCluster.start(lab, {
      ...{ ...roles, dir: path.join(lab.dir, 'g'), storage: 'google' },
      env: stores.environment(),
    });
    const sqlite = await bound(inFiles);
    const sqliteAgain = await bound(inFiles);
    const google = await bound(atGoogle);
    // The slots that refill the pools must not start in our measurement.
    await Promise.all([inFiles.isWarm(1), atGoogle.isWarm(1)]);

    const words = await interleave(
      {
        bare: async () => [(await bare.turn(prompt)).wholeMs],
        again: async () => [(await again.turn(prompt)).wholeMs],
        sqlite: timed(sqlite, () => prompt),
        sqliteAgain: timed(sqliteAgain, () => prompt),
        google: timed(google, () => prompt),
      },
      { rounds: lab.size(10, 3), runsPerRound: lab.size(20, 6), warmUps: lab.size(40, 4) },
    );
    let files = 0;
    const nextFile = (): string => `write: notes.txt: the ${(files += 1)}th version`;
    const written = await interleave(
      {
        baseline: timed(sqlite, nextFile),
        control: timed(sqliteAgain, nextFile),
        ours: timed(google, nextFile),
      },
      { rounds: lab.size(10, 3), runsPerRound: lab.size(6, 3), warmUps: lab.size(4, 2) },
    );
    const { bare: baseline, again: control } = words;
    return {
      findings: [
        ...added('SQLite', { baseline, control, ours: words.sqlite }),
        ...added('Google', { baseline, control, ours: words.google }),
        ...against('a word', { baseline: words.sqlite, control: words.sqliteAgain, ours: words.google }),
        ...against('a file written', written),
      ],
      facts: [{ what: 'unit of baseline and ours', value: 'ms' }],
    };
  },
};

async function bound(cluster: BenchCluster): Promise<Session> {
  const { session_id: id } = await cluster.exec(prompt, null);
  return { cluster, id };
}

function timed({ cluster, id }: Session, next: () => string): () => Promise<number[]> {
  return async () => {
    const startedMs = performance.now();
    await cluster.exec(next(), id);
    return [performance.now() - startedMs];
  };
}

function added(what: string, rounds: Rounds<Compared>): readonly Finding[] {
  return [
    compare({ what: `${what}: added, p50`, unit: 'ms', rounds, quantile: 0.5, as: 'added', bar: { atMost: 25 } }),
    compare({ what: `${what}: added, p99`, unit: 'ms', rounds, quantile: 0.99, as: 'added', bar: null }),
  ];
}

/** Both ways to say it: how much longer, and how many times as long. */
function against(what: string, rounds: Rounds<Compared>): readonly Finding[] {
  const common = { unit: 'ms', rounds, quantile: 0.5, bar: null };
  return [
    compare({ ...common, what: `${what}, with Google: more than SQLite`, as: 'added' }),
    compare({ ...common, what: `${what}, with Google: against SQLite`, as: 'share' }),
  ];
}
