import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../core/errors.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { redisError } from './redis-errors.ts';

const stores = redisStores();

function replyError(message: string): Error {
  const error = new Error(message);
  error.name = 'ReplyError';
  return error;
}

test('what Redis answers becomes an error that says whether it may be repeated', () => {
  const cases: readonly (readonly [string, string, string?])[] = [
    ["OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:3.", 'storage_full'],
    [
      'ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command not allowed',
      'storage_full',
    ],
    ['LOADING Redis is loading the dataset in memory', 'store_unavailable', 'loading'],
    ["READONLY You can't write against a read only replica.", 'store_unavailable', 'read_only'],
    ['MISCONF Redis is configured to save RDB snapshots', 'store_unavailable', 'not_persisting'],
    ['CLUSTERDOWN The cluster is down', 'store_unavailable', 'cluster_down'],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'store_unavailable', 'refused'],
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'internal'],
    ['ERR unknown command', 'internal'],
  ];
  for (const [message, code, reason] of cases) {
    const error = redisError(replyError(message));
    assert.deepEqual([error.code, error.details['reason']], [code, reason], message);
  }
  const own = new ServiceError('stale_epoch');
  assert.equal(redisError(own), own);
  assert.equal(redisError(new TypeError('a defect')).code, 'internal');
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' });
  assert.equal(redisError(refused).details['reason'], 'unreachable');
});

test('a Redis that is not there is said so in time, and leaves nothing behind that keeps the process', async () => {
  const startMs = performance.now();
  const gone = stores.connect({ url: 'redis://127.0.0.1:1', openTimeoutMs: 300 });
  await assert.rejects(gone, { code: 'store_unavailable', details: { store: 'redis', reason: 'unreachable' } });
  assert.ok(performance.now() - startMs < 2_000);
});

test('a wrong password is told from a server that is not there', async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const url = `redis://:not-it@127.0.0.1:${server.port}`;
  const refused = { code: 'store_unavailable', details: { store: 'redis', reason: 'refused' } };
  await assert.rejects(stores.connect({ url, openTimeoutMs: 500 }), refused);
});

test('a name in place of the number of a database is refused', async () => {
  await assert.rejects(stores.connect({ url: 'redis://127.0.0.1:1/main' }), { code: 'internal' });
});

test('the database of the URL is the one that is used, and the server says which run of it answers', async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const [first, third] = await Promise.all(['', '/3'].map((path) => stores.connect({ url: server.url + path })));
  assert.ok(first !== undefined && third !== undefined);
  await third.run((client) => client.set('place', 'three'));
  assert.deepEqual([first.database, third.database], [0, 3]);
  assert.equal(await first.run((client) => client.get('place')), null);
  assert.equal(first.runId(), third.runId());
  assert.match(String(first.runId()), /^[0-9a-f]{40}$/);
});

test('a call that comes while the connection is made again waits for it, and one after the end is refused', async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const connection = await stores.connect({ url: server.url });
  const other = await stores.connect({ url: server.url });
  await other.run((client) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
  while (connection.isUsable) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await connection.run((client) => client.ping()), 'PONG');
  await connection.close();
  await connection.close();
  await assert.rejects(
    connection.run((client) => client.ping()),
    { code: 'store_unavailable', details: { store: 'redis', reason: 'closed' } },
  );
});

test('a script answers in text or in bytes, whichever connection runs it', async (t) => {
  const server = await stores.ownServer(t);
  if (server === null) return;
  const connection = await stores.connect({ url: server.url });
  const lua = 'return {KEYS[1], ARGV[1], #ARGV}';
  const [text, bytes] = [connection.script(lua), connection.script(lua, 'bytes')];
  const octets = Buffer.from([0, 255, 128]);
  assert.deepEqual(await text(['a key'], ['é', 1.5]), ['a key', 'é', 2]);
  assert.deepEqual(await bytes(['a key'], [octets]), [Buffer.from('a key'), octets, 1]);
  await assert.rejects(connection.script("return redis.call('LPUSH', KEYS[1])")(['k'], []), { code: 'internal' });
});
