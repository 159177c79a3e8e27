// A session's files from outside, with the real agent at work on them: bound, hibernated, between turns.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { TurnResource } from '../../src/api/turns.ts';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

async function ask(
  method: string,
  path: string,
  body?: string | Uint8Array<ArrayBuffer>,
  headers = {},
): Promise<Response> {
  const { token, url } = fleet().client;
  return await fetch(`${url}/api/v1/sessions/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body === undefined ? {} : { body }),
  });
}

test('what is put is there for the agent, what the agent writes can be got, bound or hibernated [files-api]', async () => {
  const { client } = fleet();
  await client.request('POST', '/api/v1/sessions', { id: 'shelf' });
  const put = await ask('PUT', 'shelf/files/notes/in.txt', 'from outside');
  assert.equal(put.status, 201);
  const { stdout } = await client.completed('run: cat notes/in.txt; echo from the agent > notes/out.txt', 'shelf');
  assert.match(stdout, /from outside/);
  const bound = await ask('GET', 'shelf/files/notes/out.txt');
  assert.equal(await bound.text(), 'from the agent\n');
  await client.request('POST', '/api/v1/sessions/shelf/hibernate');
  const resting = await ask('GET', 'shelf/files/notes/out.txt');
  assert.deepEqual(
    [resting.headers.get('etag'), await resting.text()],
    [bound.headers.get('etag'), 'from the agent\n'],
  );
  const stale = await ask('PUT', 'shelf/files/notes/in.txt', 'late', { 'if-match': resting.headers.get('etag') });
  assert.equal(stale.status, 412);
  const diff = await ask('GET', 'shelf/diff', undefined, { accept: 'text/x-diff' });
  assert.match(await diff.text(), /\+from the agent/);
});

test('an archive that is taken from one session can be given to another [files-api]', async () => {
  const { client } = fleet();
  await client.completed('write: src/main.txt: packed', 'packed');
  const archive = Buffer.from(await (await ask('GET', 'packed/archive?format=tar.gz')).arrayBuffer());
  await client.request('POST', '/api/v1/sessions', { id: 'unpacked' });
  const given = await ask('PUT', 'unpacked/archive?format=tar.gz', new Uint8Array(archive));
  assert.equal(given.status, 200, await given.text());
  assert.match((await client.completed('run: cat src/main.txt', 'unpacked')).stdout, /packed/);
  const refused = await ask('PUT', 'unpacked/archive?format=tar.gz', new Uint8Array(gzipSync('no archive')));
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [422, 'archive_refused']);
});

test('files are not written beside a running turn; it can be steered, and refuses what is told to be refused [turn-steered]', async () => {
  const { client } = fleet();
  await client.request('POST', '/api/v1/sessions', { id: 'busy' });
  const { body: turn } = await client.request<TurnResource>('POST', '/api/v1/sessions/busy/turns', {
    prompt: 'run: sleep 3\nsay: done',
  });
  const path = `/api/v1/sessions/busy/turns/${turn.id}`;
  await eventually('it runs', 10_000, async () => {
    const { body } = await client.request<TurnResource>('GET', path);
    return body.status === 'running';
  });
  assert.equal((await ask('PUT', 'busy/files/a.txt', 'x')).status, 409);
  const rejected = await client.request<{ code: string }>('POST', '/api/v1/exec', {
    prompt: 'say: no',
    session_id: 'busy',
    on_busy: 'reject',
  });
  assert.deepEqual([rejected.status, rejected.body.code], [409, 'session_busy']);
  const steered = await eventually('it takes the text', 5_000, async () => {
    const answer = await client.request<TurnResource>('POST', `${path}/steer`, { prompt: 'say: steered' });
    return answer.status === 202 ? answer.body : null;
  });
  assert.equal(steered.id, turn.id);
  const ended = await eventually('it ends', 20_000, async () => {
    const { body } = await client.request<TurnResource>('GET', path);
    return body.ended_at === null ? null : body;
  });
  assert.deepEqual([ended.status, ended.steers.length], ['completed', 1]);
  assert.match((await client.completed('recall', 'busy')).stdout, /steered/);
});
