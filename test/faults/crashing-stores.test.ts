import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventLog } from '../../src/contracts/event-log.ts';
import type { Records } from '../../src/contracts/records.ts';
import type { SnapshotStore } from '../../src/contracts/snapshots.ts';
import { crashPlaces, type CrashPlan } from './crash-plan.ts';
import { crashingStores } from './crashing-stores.ts';

const key = { tenant: 't', sessionId: 's' };

/** Stores that only tell what was asked of them, and calls every point of them twice. */
async function story(plan: CrashPlan): Promise<string[]> {
  const told: string[] = [];
  const tell = (what: string) => async (): Promise<never> => {
    told.push(what);
    return null as never;
  };
  const log = { append: tell('append'), read: tell('read') } as unknown as EventLog;
  const records = {
    commit: tell('commit'),
    sessions: { replace: tell('session'), get: tell('get') },
    turns: { create: tell('create'), replace: tell('turn') },
  } as unknown as Records;
  const snapshots = {
    put: async (_: unknown, name: string, content: AsyncIterable<Uint8Array>) => {
      for await (const piece of content) told.push(`${name} ${piece.length}`);
      told.push(`${name} whole`);
    },
  } as unknown as SnapshotStore;
  const stores = crashingStores({ log, records, snapshots }, plan, () => told.push('DIES'));
  for (const type of ['turn.completed', 'turn.started', 'turn.failed']) {
    await stores.log.append(key, 1, [{ header: { type } } as never]);
  }
  for (const name of ['a', 'b']) {
    await stores.snapshots.put(key, name, [new Uint8Array(4)]);
    await stores.records.commit({} as never, {} as never);
    await stores.records.sessions.replace({} as never);
    await stores.records.turns.create({} as never);
    await stores.records.turns.replace({} as never);
  }
  await stores.records.sessions.get('t', 's');
  await stores.log.read(key, 0, 1);
  return told;
}

test('stores that crash do so once, at the call that was planned, and do all else as they would', async () => {
  const harmless = await story({ point: 'records.commit', when: 'before', nth: 99 });
  assert.ok(!harmless.includes('DIES') && harmless.includes('get') && harmless.includes('read'));
  const places: Record<string, string> = {};
  for (const place of crashPlaces) {
    const told = await story({ ...place, nth: 2 });
    const at = told.indexOf('DIES');
    assert.equal(told.filter((what) => what === 'DIES').length, 1);
    if (place.when !== 'midway') assert.deepEqual(told.toSpliced(at, 1), harmless);
    const counted = (what: string | undefined): string =>
      `${what} #${told.slice(0, told.lastIndexOf(what ?? '') + 1).filter((one) => one === what).length}`;
    places[`${place.when} ${place.point}`] = place.when === 'before' ? counted(told[at + 1]) : counted(told[at - 1]);
  }
  assert.deepEqual(places, {
    'before snapshots.put': 'b 4 #1',
    'midway snapshots.put': 'b 2 #2',
    'after snapshots.put': 'b whole #1',
    'before records.commit': 'commit #2',
    'after records.commit': 'commit #2',
    'before log.append terminal': 'append #3',
    'after log.append terminal': 'append #3',
    'before sessions.replace': 'session #2',
    'after sessions.replace': 'session #2',
    'after turns.create': 'create #2',
    'after turns.replace': 'turn #2',
  });
});
