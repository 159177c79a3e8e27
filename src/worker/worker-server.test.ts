import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { TokenSet } from '../http/bearer.ts';
import { ScrapeCredential } from '../http/scrape-credential.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { WorkerStage } from '../testing/scripted-codex/worker-stage.ts';
import { createWorkerServer } from './worker-server.ts';

test("the credential for numbers reads a worker's /metrics, and runs nothing", async (t) => {
  const stage = await WorkerStage.open();
  t.after(() => stage.close());
  const { log, metrics, records, worker } = stage;
  const tokenSha256 = createHash('sha256').update('a-token-of-a-tenant').digest('hex');
  const server = createWorkerServer({
    ...{ log, metrics, records, worker },
    tokens: new TokenSet([{ tokenSha256, tenant: 'default', name: 'test' }]),
    scrape: new ScrapeCredential('a-token-for-numbers'),
    clock: new SystemClock(),
    logger: createSilentLogger(),
    listen: { host: '127.0.0.1', port: 0 },
    limits: {},
    promptBodyBytes: 1_000_000,
    timeoutMs: 1_000,
    queueTimeoutMs: 1_000,
  });
  const { url } = await server.listen();
  t.after(() => server.stop());
  const headers = { authorization: 'Bearer a-token-for-numbers', 'content-type': 'application/json' };
  const page = await fetch(`${url}/metrics`, { headers });
  assert.equal(page.status, 200);
  assert.match(await page.text(), /^codex_fleet_slot_limit 2$/m);
  assert.equal((await fetch(`${url}/metrics`)).status, 401);
  assert.equal((await fetch(`${url}/health`, { headers })).status, 401);
  const body = JSON.stringify({ prompt: 'echo hello' });
  assert.equal((await fetch(`${url}/execute`, { method: 'POST', headers, body })).status, 401);
});
