import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { approvalRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { MemoryRecords } from './memory-records.ts';

recordsSuite('the memory record store', async () => ({ adapter: new MemoryRecords(), close: async () => {} }));

const query = { after: null, limit: 100, order: 'asc' } as const;
const idOf = (number: number): string => `019f0000-0000-7000-8000-00000000000${number}`;

test('beyond its bound the memory forgets whole sessions, the one used longest ago first, never one at work', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxSessions: 3, onForgotten: ({ id }) => forgotten.push(id) });
  await records.sessions.create(sessionRecord({ id: idOf(1), status: 'running' }));
  for (const number of [2, 3]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  const second = await records.sessions.get('acme', idOf(2));
  assert.ok(second !== null);
  await records.sessions.replace(second);
  await records.sessions.create(sessionRecord({ id: idOf(4) }));
  assert.deepEqual(forgotten, [idOf(3)]);
  const left = (await records.sessions.list('acme', query)).data.map(({ id }) => id);
  assert.deepEqual(left, [idOf(1), idOf(2), idOf(4)]);
});

test('long prompts count: the session that holds them goes when it is used no more', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxCharacters: 1_000, onForgotten: ({ id }) => forgotten.push(id) });
  for (const number of [1, 2]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  await records.turns.create(turnRecord({ id: idOf(8), sessionId: idOf(1), prompt: 'x'.repeat(900) }));
  assert.deepEqual(forgotten, []);
  await records.turns.create(turnRecord({ id: idOf(9), sessionId: idOf(2), prompt: 'x'.repeat(200) }));
  assert.deepEqual(forgotten, [idOf(1)]);
  assert.equal(await records.turns.get('acme', idOf(8)), null);
});

test('what approvals hold counts as well', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxCharacters: 5_000, onForgotten: ({ id }) => forgotten.push(id) });
  for (const number of [1, 2]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  await records.approvals.create(approvalRecord({ sessionId: idOf(1), details: { patch: 'x'.repeat(4_000) } }));
  await records.approvals.create(
    approvalRecord({ id: idOf(9), sessionId: idOf(2), details: { patch: 'x'.repeat(900) } }),
  );
  assert.deepEqual(forgotten, [idOf(1)]);
  assert.equal(await records.approvals.get('acme', approvalRecord().id), null);
});
