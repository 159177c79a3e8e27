// What the door lets in, and in which words it refuses the rest.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { internalCredential } from '../../adapters/worker-http/internal-credential.ts';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { doorCredential, doorSecret, StoreDoorLab } from '../../testing/store-door-lab.ts';

const session = sessionRecord();
const own = sessionRecord({ id: '019f0000-0000-7000-8000-0000000000aa', alias: null, title: null, metadata: {} });
const key = { tenant: 'acme', sessionId: session.id };

type Answer = { readonly status: number; readonly body: Record<string, unknown>; readonly elapsedMs: number };
type Ask = (path: string, body: unknown, headers?: Readonly<Record<string, string>>) => Promise<Answer>;

async function opened(t: TestContext): Promise<{ lab: StoreDoorLab; ask: Ask; url: string }> {
  const lab = new StoreDoorLab();
  t.after(() => lab.close());
  const { url } = await lab.door();
  const ask: Ask = async (path, body, headers = {}) => {
    const startMs = performance.now();
    const response = await fetch(`${url}/stores/v1/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${doorCredential}`, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const elapsedMs = performance.now() - startMs;
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Answer['body']), elapsedMs };
  };
  await ask('describe', {});
  return { lab, ask, url };
}

test('without the credential nobody gets as far as a body: not with none, nor with that of another role or run', async (t) => {
  const { url } = await opened(t);
  const { port } = new URL(url);
  for (const shown of [
    null,
    'guessed',
    doorSecret,
    internalCredential(doorSecret, 'worker', 'store-door'),
    internalCredential(doorSecret, 'session-manager', 'another'),
  ]) {
    const said = await new Promise<string>((resolve) => {
      const socket = net.connect(Number(port), '127.0.0.1');
      const credential = shown === null ? '' : `authorization: Bearer ${shown}\r\n`;
      // A body is announced and never comes.
      socket.write(
        `POST /stores/v1/sessions.get HTTP/1.1\r\nhost: door\r\n${credential}content-length: 9000000\r\n\r\n`,
      );
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString('latin1'));
      });
    });
    assert.match(said, /^HTTP\/1\.1 401 /, String(shown));
  }
});

test('garbage is refused in words and at once', async (t) => {
  const { ask } = await opened(t);
  const cases: readonly (readonly [path: string, body: unknown, status: number, code: string])[] = [
    ['sessions.get', '', 400, 'invalid_json'],
    ['sessions.get', '{"tenant":', 400, 'invalid_json'],
    ['sessions.get', '[]', 400, 'invalid_json'],
    ['sessions.get', Buffer.from([0xff, 0xfe]), 400, 'invalid_json'],
    ['sessions.get', '['.repeat(1_000_000), 400, 'invalid_json'],
    ['sessions.get', `{"a":${'[1],'.repeat(10)}`, 400, 'invalid_json'],
    ['sessions.get', '{"__proto__":{}}', 400, 'invalid_json'],
    ['sessions.get', {}, 400, 'invalid_request'],
    ['sessions.get', { tenant: 1, id: [] }, 400, 'invalid_request'],
    ['sessions.get', { tenant: '', id: 'x' }, 400, 'invalid_request'],
    ['sessions.get', { tenant: 'a'.repeat(10_000), id: 'x' }, 400, 'invalid_request'],
    ['sessions.replace', { record: { ...session, epoch: 'one' } }, 400, 'invalid_request'],
    ['sessions.replace', { record: { ...session, status: 'mine' } }, 400, 'invalid_request'],
    ['commit', { session, turn: null }, 400, 'invalid_request'],
    ['turns.list-open-of', { ...key, query: { after: null, limit: 100_000, order: 'asc' } }, 400, 'invalid_request'],
    ['approvals.list', { tenant: 'acme', filter: { sessionId: null, status: null } }, 400, 'invalid_request'],
    ['tell', { notices: [] }, 400, 'invalid_request'],
    ['objects.remove', { key, names: ['../../etc/passwd'] }, 400, 'invalid_request'],
    ['objects.read', { key, name: '..', range: null }, 400, 'invalid_request'],
    ['objects.read', { key, name: 'a', range: { offset: -1, length: 2 } }, 400, 'invalid_request'],
    ['objects.put', 'octets', 400, 'invalid_json'],
  ];
  const elapsedMs: number[] = [];
  for (const [path, body, status, code] of cases) {
    const answer = await ask(path, body);
    const shown = `${path} ${String(JSON.stringify(body)).slice(0, 80)}`;
    assert.deepEqual([answer.status, answer.body['code']], [status, code], shown);
    elapsedMs.push(answer.elapsedMs);
  }
  // The middle one: what else the machine has to do is in the slowest.
  const middle = elapsedMs.toSorted((one, other) => one - other)[Math.floor(elapsedMs.length / 2)] ?? Infinity;
  assert.ok(middle < 50, `${middle} ms`);
});

test('a record larger than any store takes is refused by what it says it is', async (t) => {
  const { ask } = await opened(t);
  const large = await ask('turns.create', { record: turnRecord({ prompt: 'x'.repeat(11 * 1024 * 1024) }) });
  assert.deepEqual([large.status, large.body['code']], [413, 'payload_too_large']);
  const fits = await ask('turns.create', { record: turnRecord({ prompt: 'x'.repeat(9 * 1024 * 1024) }) });
  assert.equal(fits.status, 200);
});

test('what a newer version asks is refused in words; what it has put into a record is kept', async (t) => {
  const { ask, lab } = await opened(t);
  const unknownCall = await ask('sessions.list', { tenant: 'acme' });
  assert.deepEqual([unknownCall.status, unknownCall.body['code']], [404, 'not_found']);
  const unknownField = await ask('sessions.get', { tenant: 'acme', id: session.id, consistency: 'weak' });
  assert.deepEqual([unknownField.status, unknownField.body['code']], [400, 'invalid_request']);
  await lab.stores.records.sessions.create(session);
  const newer = { ...session, region: 'north', policy: { ...session.policy, budget: { usd: 5 } } };
  assert.equal((await ask('sessions.replace', { record: newer })).status, 200);
  assert.deepEqual(await lab.stores.records.sessions.get('acme', session.id), { ...newer, revision: 2 });
});

test('there is no call for lists of a fleet or a tenant, for jobs, schedules, webhooks and deliveries', async (t) => {
  const { ask } = await opened(t);
  const calls = [
    'sessions.list',
    'sessions.list-held',
    'sessions.list-unused',
    'turns.list-open',
    'approvals.list-due',
  ];
  const others = [
    'jobs.get',
    'schedules.list',
    'webhooks.list',
    'deliveries.create',
    'objects.sessions',
    'turns.erase',
  ];
  for (const call of [...calls, ...others]) assert.equal((await ask(call, {})).status, 404, call);
});

test('a worker makes and erases sessions of one prompt; no other record, and no snapshot that nobody asked to erase', async (t) => {
  const { ask, lab } = await opened(t);
  const { records, snapshots } = lab.stores;
  const refusal = async (call: string, asked: object): Promise<unknown> =>
    (await ask(call, asked)).body['code'] ?? null;
  assert.equal(await refusal('sessions.create', { record: { ...own, alias: 'taken-name' } }), 'forbidden');
  assert.equal(await refusal('sessions.create', { record: { ...own, boot: 'mine' } }), 'forbidden');
  assert.equal(await refusal('turns.create', { record: turnRecord({ revision: 7 }) }), 'forbidden');
  assert.equal(await refusal('sessions.create', { record: own }), null);

  await records.sessions.create({ ...session, alias: 'a-client' });
  await snapshots.put(key, 'one', [Buffer.from('kept')]);
  const recordOf = { tenant: 'acme', id: session.id };
  assert.equal(await refusal('sessions.erase', recordOf), 'forbidden');
  assert.equal(await refusal('objects.erase', key), 'forbidden');
  assert.equal((await snapshots.list(key)).length, 1);
  const marked = await records.sessions.get('acme', session.id);
  assert.ok(marked !== null);
  await records.sessions.replace({ ...marked, erasing: true });
  assert.equal(await refusal('sessions.erase', recordOf), 'forbidden', 'a gateway does that');
  assert.equal(await refusal('objects.erase', key), null);
  assert.deepEqual(await snapshots.list(key), []);

  for (const number of [1, 2]) {
    await records.turns.create(turnRecord({ id: `019f0000-0000-7000-8000-0000000000b${number}`, sessionId: own.id }));
    const expected = number === 1 ? null : 'forbidden';
    const code = number === 1 ? null : await refusal('sessions.erase', { tenant: 'acme', id: own.id });
    assert.equal(code, expected, "a session of two turns is somebody else's");
  }
  await records.sessions.erase('acme', own.id);
  assert.equal(await refusal('sessions.create', { record: own }), null);
  assert.equal(await refusal('sessions.erase', { tenant: 'acme', id: own.id }), null);
  assert.equal(await records.sessions.get('acme', own.id), null);
});

test('octets whose sum is not theirs are not kept', async (t) => {
  const { ask, lab } = await opened(t);
  const facts = (name: string): Record<string, string> => ({
    'content-type': 'application/octet-stream',
    'fleet-facts': Buffer.from(JSON.stringify({ key, name })).toString('base64url'),
  });
  const content = Buffer.from('octets');
  const sum = createHash('sha256').update(content).digest();
  const wrong = Buffer.concat([Buffer.from('octetz'), sum]);
  for (const body of [content, wrong, Buffer.concat([content, sum]).subarray(0, 37), Buffer.alloc(0)]) {
    const answer = await ask('objects.put', body, facts('one'));
    assert.deepEqual([answer.status, answer.body['reason']], [503, 'garbled']);
  }
  assert.deepEqual(await lab.stores.snapshots.list(key), []);
  assert.equal((await ask('objects.put', Buffer.concat([content, sum]), facts('one'))).status, 200);
  assert.equal((await ask('objects.put', Buffer.concat([content, sum]), facts('../one'))).status, 400);
  assert.deepEqual(await lab.stores.snapshots.list(key), [{ name: 'one', bytes: 6 }]);
});

test('work in the store keeps its place at the door when who asked has gone', async (t) => {
  const records = new MemoryRecords();
  let atWork = 0;
  const held: (() => void)[] = [];
  const slow = Object.create(records) as typeof records;
  Object.defineProperty(slow, 'sessions', {
    value: {
      get: async () => {
        atWork += 1;
        await new Promise<void>((resolve) => held.push(resolve));
        return null;
      },
    },
  });
  const lab = new StoreDoorLab({ records: slow });
  t.after(() => lab.close());
  const { url } = await lab.door({ limits: { mostCalls: 2 } });
  const client = lab.client([url], { timeoutMs: 500 });
  const asked = Array.from({ length: 6 }, () => client.records.sessions.get('acme', session.id));
  const ends = await Promise.allSettled(asked);
  assert.ok(ends.every(({ status }) => status === 'rejected'));
  assert.equal(atWork, 2);
  held.forEach((end) => end());
});
