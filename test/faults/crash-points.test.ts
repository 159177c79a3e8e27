import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { crashPlaces, type CrashPlan } from './crash-plan.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { KeptHistory } from './kept-history.ts';
import { recordReliability } from './reliability-record.ts';
import { EndedAtStart, RunningFleet } from './running-fleet.ts';
import { commandOutput } from './workspace-tree.ts';

/** Each with a data directory and a fleet of its own, so that one starts while the other works. */
const lanes = 2;
/** 55 at scale 1; 50 at each place at scale 10. */
const crashesPerPlace = scaled(5);
/** One crash hits all of them, wherever they are. */
const sessions = ['a', 'b', 'c', 'd'];
/** A plan that no call fulfils: the turns have ended, and the fleet is killed as it is. */
const crashWithinMs = 6_000;

const entryFor = (plan: CrashPlan): string[] => ['test/faults/crashing-fleet-child.ts', JSON.stringify(plan)];

test('a fleet that dies at any point of the commit has each accepted turn end once, with what it did, and loses nothing it told [durable-commit]', {
  timeout: 400_000 * Math.max(1, crashesPerPlace / 5),
}, async (t) => {
  const random = seededRun(t);
  const plans = Array.from({ length: crashesPerPlace }, () => crashPlaces)
    .flat()
    .map((place): CrashPlan => ({ ...place, nth: random.between(1, 4) }));
  const reports = await Promise.all(
    Array.from({ length: lanes }, (_, lane) =>
      runLane(
        t,
        plans.filter((__, index) => index % lanes === lane),
        seededRandom(random.between(0, 2 ** 31)),
      ),
    ),
  );
  const reached = reports.flatMap((report) => report.reached);
  const byPlace = crashPlaces.map(({ point, when }) => {
    const count = reached.filter((plan) => plan.point === point && plan.when === when).length;
    return `${when} ${point} × ${count}`;
  });
  t.diagnostic(`${reached.length} of ${plans.length} crashes: ${byPlace.join(', ')}`);
  t.diagnostic(reports.map((report) => `${report.turns} turns, ${JSON.stringify(report.ends)}`).join('; '));
  assert.deepEqual(
    reports.flatMap(({ problems }) => problems),
    [],
  );
  assert.ok(reached.length >= 0.8 * plans.length, `only ${reached.length} crashes happened where they should`);
  recordReliability({
    fault: 'SIGKILL at each point of a commit: before, in and after snapshot, record and terminal event',
    count: `${reached.length} crashes at ${crashPlaces.length} points, ${reports.reduce((sum, { turns }) => sum + turns, 0)} turns`,
    result:
      'each turn ended once; nothing told was taken back; what a completed turn wrote is there, and nothing twice',
    control: 'at least 80 % of the crashes hit their point; the stores that crash are tested by themselves',
  });
});

type LaneReport = {
  readonly reached: readonly CrashPlan[];
  readonly problems: readonly string[];
  readonly ends: Readonly<Record<string, number>>;
  readonly turns: number;
};

async function runLane(t: TestContext, plans: readonly CrashPlan[], random: SeededRandom): Promise<LaneReport> {
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', '--warm-slots', '1', ...oracle.flags],
  });
  using history = new KeptHistory(fleet, oracle);
  const reached: CrashPlan[] = [];
  const sending: Promise<unknown>[] = [];
  for (const [round, plan] of plans.entries()) {
    if (await diesAtStart(fleet, plan)) {
      // What it died of was its recovery: the next life finishes what this one began.
      reached.push(plan);
      continue;
    }
    // One of them each time: reading all of all would take longer than what is tried.
    const looked = sessions[round % sessions.length] ?? '';
    if (history.has(looked)) await history.look(looked);
    // Whoever is not answered asks the lives that follow, and is to be told of the same turn.
    for (const [index, session] of sessions.entries()) {
      const sent = history.send(promptOf(round, index, random), session);
      sent.catch(() => undefined); // Awaited below.
      sending.push(sent);
    }
    if (await fleet.killedItself(crashWithinMs)) reached.push(plan);
  }
  await fleet.restart();
  await Promise.all(sending);
  const first = await history.settle();
  for (const session of sessions) await history.look(session);
  await fleet.restart();
  const { ends, problems } = await history.settle();
  const lost = await lostMarks(fleet, history);
  return { reached, problems: [...first.problems, ...problems, ...lost], ends, turns: history.turns.length };
}

/** Started anew under the plan. Answers whether it fell to it before it was ready. */
async function diesAtStart(fleet: RunningFleet, plan: CrashPlan): Promise<boolean> {
  try {
    await fleet.restart(entryFor(plan));
    return false;
  } catch (error) {
    if (error instanceof EndedAtStart && error.exit.signal === 'SIGKILL') return true;
    throw error;
  }
}

function promptOf(round: number, index: number, random: SeededRandom): string {
  const name = `mark ${round}-${index}-${random.between(0, 1e9)}`;
  return index % 2 === 0 ? `run: echo ${name} >> marks.txt` : `say: ${name}`;
}

/** `completed` means committed: what such a turn wrote is there, and nothing is there twice. */
async function lostMarks(fleet: RunningFleet, { turns }: KeptHistory): Promise<string[]> {
  const problems: string[] = [];
  for (const session of sessions) {
    const { id: sessionId } = await fleet.client.session(session);
    const stdout = await commandOutput(fleet.client, session, 'cat marks.txt');
    for (const { prompt, turnId } of turns.filter((turn) => turn.sessionId === sessionId)) {
      const mark = /^run: echo (mark \S+)/.exec(prompt)?.[1];
      if (mark === undefined) continue;
      const times = stdout.split(mark).length - 1;
      const { status } = await fleet.client.turn(sessionId, turnId);
      if (times > 1) problems.push(`${mark} was done ${times} times`);
      if (status === 'completed' && times === 0) problems.push(`${mark} is lost, and its turn completed`);
    }
  }
  return problems;
}
