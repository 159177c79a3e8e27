import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { ServiceError } from '../core/errors.ts';
import { TokenSet } from '../http/bearer.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { createManagerServer } from './manager-server.ts';
import type { ManagerHealth } from './session-manager.ts';

const token = 'a-token-of-some-length';
const metricsToken = 'a-token-for-numbers';
const health: ManagerHealth = {
  role: 'standby',
  lastPassAt: null,
  sessionsRecovered: 3,
  workers: { ready: 2, draining: 0, suspect: 0, lost: 1 },
  lostWorkers: [{ id: 'worker-1', boot: 'a', evidence: 'refused' }],
};

async function serving(t: { after(end: () => Promise<void>): void }) {
  const records = new MemoryRecords();
  const state = { unansweredMs: 10, areRecordsAway: false };
  const listHeld = records.sessions.listHeld.bind(records.sessions);
  records.sessions.listHeld = async (after, limit) => {
    if (state.areRecordsAway) throw new ServiceError('store_unavailable');
    return await listHeld(after, limit);
  };
  const metrics = createMetrics();
  const server = createManagerServer({
    manager: {
      health: () => health,
      get unansweredMs() {
        return state.unansweredMs;
      },
    },
    records,
    messages: { state: () => ({ state: 'unavailable', reason: 'not_found' }) },
    tokens: new TokenSet([
      { tokenSha256: createHash('sha256').update(token).digest('hex'), tenant: 'default', name: 'test' },
    ]),
    scrape: new ScrapeCredential(metricsToken),
    clock: new SystemClock(),
    logger: createLogger({ level: 'silent', role: 'test' }),
    metrics,
    listen: { host: '127.0.0.1', port: 0 },
    limits: {},
  });
  const { url } = await server.listen();
  t.after(() => server.stop());
  const get = async (path: string, credential: string | null = null): Promise<[number, string]> => {
    const headers: Record<string, string> = credential === null ? {} : { authorization: `Bearer ${credential}` };
    const answer = await fetch(`${url}${path}`, { headers });
    return [answer.status, await answer.text()];
  };
  return { get, metrics, server, state };
}

test('a standby is ready as long as the records and the registry answer', async (t) => {
  const { get, server, state } = await serving(t);
  assert.deepEqual(await get('/livez'), [200, '{"status":"ok"}']);
  assert.deepEqual(await get('/readyz'), [200, '{"status":"ok"}']);
  state.unansweredMs = 6_000;
  assert.equal((await get('/readyz'))[0], 503);
  assert.deepEqual(await get('/health'), [200, '{"status":"degraded"}']);
  assert.equal((await get('/readyz/stores'))[0], 200, 'the store door needs the records alone');
  state.unansweredMs = 10;
  state.areRecordsAway = true;
  assert.equal((await get('/readyz'))[0], 503);
  assert.equal((await get('/readyz/stores'))[0], 503);
  state.areRecordsAway = false;
  assert.equal((await get('/readyz'))[0], 200);
  server.beginDraining();
  assert.equal((await get('/readyz'))[0], 503);
  assert.deepEqual(await get('/livez'), [200, '{"status":"ok"}']);
});

test('who leads, which workers are lost and whether messages are read is told to those with a credential; metrics too', async (t) => {
  const { get, metrics } = await serving(t);
  metrics.leader.set(1);
  metrics.workers.set({ state: 'suspect' }, 2);
  assert.deepEqual(JSON.parse((await get('/health', token))[1]), {
    status: 'ok',
    role: 'standby',
    last_pass_at: null,
    sessions_recovered: 3,
    workers: { ready: 2, draining: 0, suspect: 0, lost: 1 },
    messages: { state: 'unavailable', reason: 'not_found' },
    lost_workers: [{ worker: 'worker-1', boot: 'a', evidence: 'refused' }],
  });
  for (const [path, credential] of [
    ['/health', 'another'],
    ['/metrics', null],
    ['/metrics', 'another'],
  ] as const) {
    assert.equal((await get(path, credential))[0], 401, path);
  }
  const [status, body] = await get('/metrics', token);
  assert.equal(status, 200);
  for (const line of [
    'codex_fleet_leader 1',
    'codex_fleet_sessions_recovered_total 0',
    'codex_fleet_workers{state="suspect"} 2',
  ]) {
    assert.ok(body.split('\n').includes(line), line);
  }
});

test('the credential for numbers reads the metrics and no more of the health than anybody', async (t) => {
  const { get } = await serving(t);
  assert.equal((await get('/metrics', metricsToken))[0], 200);
  assert.equal((await get('/metrics'))[0], 401);
  assert.equal((await get('/metrics', 'another-token-of-16'))[0], 401);
  assert.equal((await get('/health', metricsToken))[0], 401);
});
