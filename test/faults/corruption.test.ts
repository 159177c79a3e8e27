import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { remembersAll } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { damage, damageKinds, damagePage, dishonesty, filesBelow, type AfterDamage } from './damage.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { EndedAtStart, RunningFleet } from './running-fleet.ts';
import { commandOutput } from './workspace-tree.ts';

const session = 'at-rest';
const prompts = ['say: one', 'run: echo two > two.txt', 'say: three'];
const lanes = 2;

/** Where a fleet keeps what a session is made of. */
const rollouts = /(^|\/)sessions\/.*rollout-.*\.jsonl$/;
const snapshotObjects = /(^|\/)snapshots\/.+/;
const databases = /(?<!lock)\.db$/;

type Case = { readonly name: string; readonly spoil: (dataDir: string, random: SeededRandom) => void };

test('whatever is damaged at rest, a turn is never plainly completed without its past [corruption-told]', {
  timeout: 230_000,
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const original = newDataDir(t);
  const lastSeq = await usedAndLeft(original, oracle);
  const cases = casesFor(original);
  const reports: string[] = [];
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      for (const [index, { name, spoil }] of cases.entries()) {
        if (index % lanes !== lane) continue;
        const own = seededRandom(random.seed + index);
        const dataDir = newDataDir(t);
        cpSync(original, dataDir, { recursive: true, filter: (file) => !file.endsWith('.sock') });
        spoil(dataDir, own);
        const after = await askAfter(t, dataDir, oracle, `say: after ${index}`, lastSeq);
        const problem = dishonesty(after);
        if (problem !== null) reports.push(`${name}: ${problem}`);
        t.diagnostic(
          `${name}: ${after.kind === 'ended' ? `${after.status} ${after.code ?? ''}, forgot ${after.forgotten.length + after.lostFiles.length}` : after.kind}`,
        );
      }
    }),
  );
  assert.deepEqual(reports, []);
  // The control: the same data, undamaged, remembers all.
  const intact = await askAfter(t, original, oracle, 'say: intact', lastSeq);
  assert.deepEqual(
    { ...intact, events: [] },
    { kind: 'ended', status: 'completed', code: null, forgotten: [], lostFiles: [], events: [] },
  );
});

/** A session with a past, hibernated, in a fleet that ended well. Answers the last event of it. */
async function usedAndLeft(dataDir: string, oracle: OracleModel): Promise<number> {
  await using fleet = await RunningFleet.start({ dataDir, flags: ['--storage', 'sqlite', ...oracle.flags] });
  for (const prompt of prompts) await fleet.client.completed(prompt, session);
  const { status, text } = await fleet.client.request('POST', `/api/v1/sessions/${session}/hibernate`);
  assert.ok(status < 300, text);
  const events = await fleet.client.pages(session);
  await fleet.stop();
  return events.at(-1)?.seq ?? 0;
}

function casesFor(dataDir: string): Case[] {
  const places = { rollouts, snapshotObjects };
  const cases: Case[] = [];
  for (const [place, pattern] of Object.entries(places)) {
    // What is not kept as a file of its own cannot be damaged as one; snapshots always are.
    const count = filesBelow(dataDir, pattern).length;
    if (place === 'snapshotObjects') assert.ok(count > 0, 'a hibernated session is in its snapshot');
    if (count === 0) continue;
    for (const kind of damageKinds) {
      cases.push({
        name: `every one of ${place} ${kind}`,
        spoil: (dir, random) => spoilAll(dir, pattern, kind, random),
      });
      for (let round = 0; round < scaled(2); round += 1) {
        cases.push({
          name: `one of ${place} ${kind}`,
          spoil: (dir, random) => damage(random.pick(filesBelow(dir, pattern)), kind, random),
        });
      }
    }
  }
  for (let round = 0; round < scaled(4); round += 1) {
    cases.push({
      name: 'a page of the database',
      spoil: (dir, random) => damagePage(random.pick(filesBelow(dir, databases)), random),
    });
  }
  return cases;
}

function spoilAll(dataDir: string, pattern: RegExp, kind: (typeof damageKinds)[number], random: SeededRandom): void {
  for (const file of filesBelow(dataDir, pattern)) damage(file, kind, random);
}

async function askAfter(
  t: TestContext,
  dataDir: string,
  oracle: OracleModel,
  prompt: string,
  lastSeq: number,
): Promise<AfterDamage> {
  let fleet: RunningFleet;
  try {
    fleet = await RunningFleet.start({ dataDir, flags: ['--storage', 'sqlite', ...oracle.flags] });
  } catch (error) {
    if (error instanceof EndedAtStart) return { kind: 'start refused', said: error.message };
    throw error;
  }
  await using running = fleet;
  const { client } = running;
  const { status, body } = await client.exec({ prompt, session_id: session, timeout_ms: 20_000 });
  if (status !== 200) return { kind: 'refused', status, code: (body as unknown as { code: string }).code };
  const forgotten = remembersAll(oracle.callsOf(prompt), [...prompts, prompt]);
  const isWoken = body.status === 'completed';
  const two = isWoken ? await commandOutput(client, session, 'cat two.txt') : 'two\n';
  // A log that says that it is damaged is honest, too; it has then nothing to show.
  const events = !isWoken
    ? []
    : await client.pages(body.session_id).catch((error: unknown) => {
        if (/store_corrupt|session_corrupt/.test(String(error))) return [];
        throw error;
      });
  return {
    kind: 'ended',
    status: body.status,
    code: body.error?.code ?? null,
    // A session that is made anew under the name has forgotten all, also that it had a past.
    forgotten,
    lostFiles: two === 'two\n' ? [] : ['two.txt'],
    events: events.filter(({ seq }) => seq > lastSeq),
  };
}
