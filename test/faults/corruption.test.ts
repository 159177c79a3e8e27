import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import type { CommandResponse } from '../../src/api/commands.ts';
import { remembersAll } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';
import {
  type AfterDamage,
  damage,
  damageKinds,
  damagePage,
  dishonesty,
  filesBelow,
  newestOf,
  removeAll,
} from './damage.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { EndedAtStart, RunningFleet } from './running-fleet.ts';

const prompts = ['say: one', 'run: echo two > two.txt', 'say: three'];
const atOnce = 4;

/** Of one session: where it rests, and its snapshots. */
type Places = { readonly rollouts: readonly string[]; readonly objects: readonly string[]; readonly rest: string };

type Case = {
  readonly name: string;
  readonly spoil: (places: Places, random: SeededRandom) => void;
  /** What is spoilt is there once more: nothing may be lost. */
  readonly isWhole: boolean;
};

type Used = { readonly sessionId: string; readonly lastSeq: number };

test('whatever is damaged at rest, a turn is never plainly completed without its past [corruption-told]', {
  timeout: 230_000,
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const dataDir = newDataDir(t);
  const cases = fileCases();
  const used = await usedAndLeft(dataDir, oracle, cases.length);
  for (const [index, { spoil }] of cases.entries()) spoil(placesOf(dataDir, used[index]?.sessionId ?? ''), random);
  const reports: string[] = [];
  const fleet = await started(dataDir, oracle);
  assert.ok(fleet instanceof RunningFleet, JSON.stringify(fleet));
  await using running = fleet;
  await inLanes(cases, async ({ isWhole, name }, index) => {
    const after = await askAfter(running.client, oracle, `say: after ${index}`, used[index]);
    t.diagnostic(`${name}: ${told(after)}`);
    const lost = isWhole ? notWhole(after) : dishonesty(after);
    if (lost !== null) reports.push(`${name}: ${lost}`);
  });
  assert.deepEqual(reports, []);
  recordReliability({
    fault: 'rollouts and snapshots at rest cut short, with a bit flipped, emptied, removed',
    count: `${cases.length} sessions, each damaged in its way`,
    result:
      'no turn is plainly completed without its past: restored, said to be, or refused; what was there twice was whole',
    control: 'an undamaged session is whole; a silent loss and an unnamed failure are refused (damage.test.ts)',
  });
});

test('a damaged page of the database is said to be damaged, or nothing of it was needed [corruption-told]', {
  timeout: 230_000,
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const original = newDataDir(t);
  const [used] = await usedAndLeft(original, oracle, 1);
  for (let round = 0; round < scaled(4); round += 1) {
    const dataDir = newDataDir(t);
    cpSync(original, dataDir, { recursive: true, filter: (file) => !file.endsWith('.sock') });
    const page = damagePage(random.pick(filesBelow(dataDir, /(?<!lock)\.db$/)), random);
    const after = await askAtStart(t, dataDir, oracle, `say: after page ${page} of round ${round}`, used);
    t.diagnostic(`page ${page}: ${told(after)}`);
    assert.equal(dishonesty(after), null, `page ${page}`);
  }
  recordReliability({
    fault: 'a page of a database overwritten while the fleet is down',
    count: `${scaled(4)} pages`,
    result: 'said to be damaged, or nothing of it was needed',
    control: 'a silent loss and an unnamed failure are refused (damage.test.ts)',
  });
});

async function askAtStart(
  t: TestContext,
  dataDir: string,
  oracle: OracleModel,
  prompt: string,
  used: Used | undefined,
): Promise<AfterDamage> {
  const fleet = await started(dataDir, oracle);
  if (!(fleet instanceof RunningFleet)) return fleet;
  await using running = fleet;
  t.diagnostic(`the fleet said ${/"event":"store_damaged"/.test(running.log) ? 'that' : 'nothing of'} it`);
  return await askAfter(running.client, oracle, prompt, used);
}

async function started(dataDir: string, oracle: OracleModel): Promise<RunningFleet | AfterDamage> {
  try {
    return await RunningFleet.start({ dataDir, flags: ['--storage', 'sqlite', ...oracle.flags] });
  } catch (error) {
    if (error instanceof EndedAtStart) return { kind: 'start refused', said: error.message };
    throw error;
  }
}

/** Sessions with a past, hibernated, in a fleet that ended well. */
async function usedAndLeft(dataDir: string, oracle: OracleModel, count: number): Promise<readonly Used[]> {
  await using fleet = await RunningFleet.start({ dataDir, flags: ['--storage', 'sqlite', ...oracle.flags] });
  const { client } = fleet;
  const used: Used[] = [];
  await inLanes(Array.from({ length: count }), async (_, index) => {
    let sessionId = `session-${index}`;
    for (const prompt of prompts) ({ session_id: sessionId } = await client.completed(prompt, sessionId));
    const { status, text } = await client.request('POST', `/api/v1/sessions/${sessionId}/hibernate`);
    assert.ok(status < 300, text);
    used[index] = { sessionId, lastSeq: (await client.pages(sessionId)).at(-1)?.seq ?? 0 };
  });
  await fleet.stop();
  return used;
}

function placesOf(dataDir: string, sessionId: string): Places {
  const rest = `${dataDir}/worker/sessions/default/${sessionId}`;
  const places = {
    rest,
    rollouts: filesBelow(rest, /(^|\/)sessions\/.*rollout-.*\.jsonl$/),
    objects: filesBelow(`${dataDir}/snapshots/default/${sessionId}`, /./),
  };
  assert.ok(places.rollouts.length === 1 && places.objects.length >= prompts.length, JSON.stringify(places));
  return places;
}

function fileCases(): readonly Case[] {
  const nothing = ({ rest }: Places): void => removeAll(rest);
  const cases: Case[] = [
    { name: 'nothing is damaged', isWhole: true, spoil: () => {} },
    { name: 'nothing rests', isWhole: true, spoil: nothing },
  ];
  for (const kind of damageKinds) {
    const every = (files: readonly string[], random: SeededRandom): void => {
      for (const file of files) damage(file, kind, random);
    };
    cases.push(
      { name: `its rollout ${kind}`, isWhole: true, spoil: ({ rollouts }, random) => every(rollouts, random) },
      { name: `its snapshots ${kind}`, isWhole: false, spoil: ({ objects }, random) => every(objects, random) },
      {
        name: `nothing rests, its newest snapshot ${kind}`,
        isWhole: false,
        spoil: (places, random) => {
          nothing(places);
          damage(newestOf(places.objects), kind, random);
        },
      },
    );
    for (let round = 0; round < scaled(2); round += 1) {
      cases.push(
        {
          name: `an object of its snapshots ${kind}`,
          isWhole: false,
          spoil: ({ objects }, random) => damage(random.pick(objects), kind, random),
        },
        {
          name: `its rollout ${kind}, and an object of its snapshots`,
          isWhole: false,
          spoil: ({ objects, rollouts }, random) => {
            every(rollouts, random);
            damage(random.pick(objects), kind, random);
          },
        },
      );
    }
  }
  return cases;
}

async function inLanes<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  const left = items.entries();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const [index, item] of left) await work(item, index);
    }),
  );
}

async function askAfter(
  client: FleetClient,
  oracle: OracleModel,
  prompt: string,
  used: Used | undefined,
): Promise<AfterDamage> {
  const { lastSeq, sessionId } = used ?? assert.fail('the session was used before');
  const { status, body } = await client.exec({ prompt, session_id: sessionId, timeout_ms: 20_000 });
  if (status !== 200) return { kind: 'refused', status, code: (body as unknown as { code: string }).code };
  const isCompleted = body.status === 'completed';
  const cat = { command: 'cat two.txt' };
  const two = isCompleted
    ? await client.request<CommandResponse & { code: string }>('POST', `/api/v1/sessions/${sessionId}/commands`, cat)
    : null;
  if (two !== null && two.status !== 200) return { kind: 'refused', status: two.status, code: two.body.code };
  // A log that says that it is damaged is honest, too; it has then nothing to show.
  const events = await client.pages(sessionId).catch((error: unknown) => {
    if (/store_corrupt|session_corrupt/.test(String(error))) return [];
    throw error;
  });
  return {
    kind: 'ended',
    status: body.status,
    code: body.error?.code ?? null,
    // A session that is made anew under the name has forgotten all, also that it had a past.
    forgotten: isCompleted ? remembersAll(oracle.callsOf(prompt), [...prompts, prompt]) : [],
    lostFiles: two === null || two.body.stdout === 'two\n' ? [] : ['two.txt'],
    events: events.filter(({ seq }) => seq > lastSeq),
  };
}

function notWhole(after: AfterDamage): string | null {
  if (after.kind !== 'ended' || after.status !== 'completed') return `it is all there, and it was ${told(after)}`;
  const lost = [...after.forgotten, ...after.lostFiles];
  return lost.length === 0 ? null : `it is all there, and without ${lost.join(', ')}`;
}

function told(after: AfterDamage): string {
  switch (after.kind) {
    case 'start refused':
      return 'start refused';
    case 'refused':
      return `refused ${after.status} ${after.code}`;
    case 'ended': {
      const restored = after.events.some(({ type }) => type === 'session.restored') ? ', restored' : '';
      return `${after.status} ${after.code ?? ''}${restored}, lost ${after.forgotten.length + after.lostFiles.length}`;
    }
  }
}
