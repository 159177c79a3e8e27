// A deleted session or job is gone from the disk, not only from the lists.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { DeliveryResource, WebhookResource } from '../../src/api/webhooks.ts';
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

test('what a job held, and what was to be told of it and its session, is on no part of the disk once both were deleted [job-erased]', async () => {
  const { client } = fleet();
  const word = 'canary-74be16979710d4c4';
  // Nobody is there: what is to be told waits.
  const hook = await client.request<WebhookResource>('POST', '/api/v1/webhooks', { url: 'https://hooks.example.com/' });
  assert.equal(hook.status, 201, hook.text);
  const told = async (): Promise<string[]> => {
    const path = `/api/v1/webhooks/${hook.body.id}/deliveries?order=asc`;
    const { body } = await client.request<ListOf<DeliveryResource>>('GET', path);
    return body.data.map(({ type }) => type).toSorted();
  };
  const made = await client.request<JobResource>('POST', '/api/v1/jobs', { prompt: `say: ${word}` });
  const job = `/api/v1/jobs/${made.body.id}`;
  const { session_id: session } = await eventually('the job has ended', 30_000, async () => {
    const { body } = await client.request<JobResource>('GET', job);
    return body.ended_at === null ? null : body;
  });
  const all = ['job.completed', 'job.started', 'session.created', 'turn.completed'];
  await eventually('all is to be told', 10_000, async () => String(await told()) === String(all));
  assert.ok(holding(word).includes('fleet.db-wal'));

  assert.equal((await client.request('DELETE', `/api/v1/sessions/${String(session)}`)).status, 200);
  assert.deepEqual(await told(), ['session.deleted']);
  assert.equal((await client.request<JobResource>('GET', job)).body.result?.stdout, word);
  assert.ok(holding(word).length > 0, 'the job has it');
  assert.equal((await client.request('DELETE', job)).status, 200);
  assert.equal((await client.request('GET', job)).status, 404);
  await eventually('nothing holds it', 10_000, () => holding(word).length === 0);
});
