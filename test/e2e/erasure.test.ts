// A deleted session is gone from the disk, not only from the lists.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();
const canary = 'canary-d41d8cd98f00b204';

/** Files below the data directory that hold the word. Some go while we look. */
function holding(word: string): string[] {
  const files = readdirSync(fleet().dataDir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.flatMap((entry) => {
    const file = path.join(entry.parentPath, entry.name);
    try {
      return readFileSync(file).includes(word) ? [path.relative(fleet().dataDir, file)] : [];
    } catch {
      return [];
    }
  });
}

test('what a session held is on no part of the disk once it was deleted [session-erased]', async () => {
  const { client } = fleet();
  await client.completed(`write: kept.txt: ${canary}`, 'to-erase');
  await client.request('POST', '/api/v1/sessions/to-erase/hibernate');
  await client.completed('say: again', 'to-erase');
  // The search finds what is there: the database, a snapshot, the workspace.
  const before = holding(canary).map((file) => file.split('/')[0]);
  for (const place of ['fleet.db-wal', 'snapshots', 'worker']) assert.ok(before.includes(place), before.join(' '));
  const { status } = await client.request('DELETE', '/api/v1/sessions/to-erase');
  assert.equal(status, 200);
  await eventually('nothing holds it', 10_000, () => holding(canary).length === 0);
});
