// In a cluster a script may touch one slot only, and a server that is not asked for it refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lease } from '../../contracts/session-directory.ts';
import { workerEntry } from '../../testing/contract-suites/worker-registry-suite.ts';
import { redisStores } from '../../testing/redis-stores.ts';
import { RedisLeadership } from './redis-leadership.ts';
import { RedisRateLimiter } from './redis-rate-limiter.ts';
import { RedisSessionDirectory } from './redis-session-directory.ts';
import { RedisTicketStore } from './redis-ticket-store.ts';
import { RedisWorkerRegistry } from './redis-worker-registry.ts';

const stores = redisStores();

test('directory, registry, leadership, tickets and limits work in a cluster', async (t) => {
  const server = await stores.ownServer(t, 'none', ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);
  if (server === null) return;
  const single = await stores.connect({ url: server.url });
  await single.run((client) => client.cluster('ADDSLOTSRANGE', 0, 16_383));
  const isUp = async (): Promise<boolean> =>
    single
      .run((client) => client.set('a', 'b'))
      .then(
        () => true,
        () => false,
      );
  while (!(await isUp())) await sleep(20);
  const connection = await stores.connect({ url: server.url, cluster: true });

  const directory = new RedisSessionDirectory(connection);
  const leases: Lease[] = Array.from({ length: 40 }, (_, index) => ({
    tenant: 'acme',
    sessionId: `session-${index}`,
    worker: 'worker-1',
    epoch: 1,
  }));
  for (const lease of leases) {
    assert.equal(await directory.claim(lease, 10_000), null);
    assert.equal(await directory.renew(lease, 10_000), true);
    assert.deepEqual(await directory.lookup('acme', lease.sessionId), lease);
  }
  assert.ok((await directory.knownForMs()) < 60_000);
  for (const lease of leases) await directory.release(lease);
  assert.equal(await directory.lookup('acme', 'session-0'), null);

  const registry = new RedisWorkerRegistry(connection);
  await registry.announce(workerEntry('worker-1'));
  assert.equal((await registry.list()).workers.length, 1);
  await registry.withdraw('worker-1', 'boot-1');
  assert.deepEqual((await registry.list()).workers, []);

  const leadership = new RedisLeadership(connection);
  assert.equal(await leadership.hold('one', 10_000), true);
  await leadership.resign('one');
  assert.equal(await leadership.hold('two', 10_000), true);

  const tickets = new RedisTicketStore(connection);
  const holder = { tenant: 'acme', name: 'tester' };
  for (const hash of ['one', 'two', 'three']) await tickets.put(hash, holder, { ttlMs: 10_000, perTenant: 2 });
  const taken = await Promise.all(['one', 'two', 'three'].map((hash) => tickets.take(hash)));
  assert.deepEqual(taken, [null, holder, holder]);

  const limiter = new RedisRateLimiter(connection);
  const answers = [];
  for (let turn = 0; turn < 3; turn += 1) answers.push((await limiter.take('acme', 'turns', 2)).allowed);
  assert.deepEqual(answers, [true, true, false]);
});
