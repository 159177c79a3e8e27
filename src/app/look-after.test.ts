import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { mintId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { lookAfterSession } from './look-after.ts';

async function lookingAfter(session: Partial<SessionRecord> | null) {
  const records = new MemoryRecords();
  const key: SessionKey = { tenant: 'acme', sessionId: mintId() };
  if (session !== null) await records.sessions.create(sessionRecord({ tenant: 'acme', id: key.sessionId, ...session }));
  const turn = turnRecord({ tenant: 'acme', sessionId: key.sessionId, id: mintId() });
  await records.turns.create(turn);
  const done: string[] = [];
  await lookAfterSession(
    {
      records,
      worker: { recoverSession: async () => void done.push('recovered') },
      erase: async () => void done.push('erased'),
    },
    key,
  );
  return [done.join(), (await records.turns.get('acme', turn.id)) === null ? 'turn gone' : 'turn waits'];
}

test('a session is recovered, an erasure is finished, and a turn without a session goes', async () => {
  assert.deepEqual(await lookingAfter({}), ['recovered', 'turn waits']);
  assert.deepEqual(await lookingAfter({ erasing: true }), ['erased', 'turn waits']);
  assert.deepEqual(await lookingAfter(null), ['', 'turn gone']);
});
