import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { MemoryRateLimiter } from '../adapters/memory/memory-rate-limiter.ts';
import type { RateAnswer, RateLimiter } from '../contracts/rate-limiter.ts';
import { ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type GatewayFixture, jsonOf, otherTenantToken, startGateway } from '../testing/gateway-fixture.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { TurnRate } from './turn-rate.ts';
import { defaultGatewayLimits } from './gateway-parts.ts';

const exec = '/api/v1/exec';

function limited(t: TestContext, turnsPerMinute: number, parts: Partial<GatewayParts> = {}): Promise<GatewayFixture> {
  return startGateway(t, { limits: { turnsPerMinute }, ...parts });
}

test('turns beyond the limit are refused before anything is made, with when to come again', async (t) => {
  const { post, get, records } = await limited(t, 2);
  for (const name of ['one', 'two'])
    assert.equal((await post(exec, { prompt: 'say 1', session_id: name })).status, 200);
  const refused = await post(exec, { prompt: 'say 1', session_id: 'three' });
  const { code, limit, retry, retry_after_s: waitS } = await jsonOf(refused);
  assert.deepEqual([refused.status, code, limit, retry], [429, 'rate_limited', 2, 'after']);
  assert.equal(refused.headers.get('retry-after'), String(waitS));
  assert.ok(Number(waitS) > 25 && Number(waitS) <= 30, `in ${String(waitS)} s`);
  assert.equal((await get('/api/v1/sessions/three')).status, 404);

  const session = (await jsonOf(await get('/api/v1/sessions/one')))['id'];
  const second = await post(`/api/v1/sessions/${String(session)}/turns`, { prompt: 'say 1' });
  assert.deepEqual([second.status, (await jsonOf(second))['code']], [429, 'rate_limited']);
  const turns = await records.turns.list('default', String(session), { after: null, limit: 10, order: 'asc' });
  assert.equal(turns.data.length, 1);
});

test('a limit is for one tenant, and for prompts that could be taken', async (t) => {
  const { post } = await limited(t, 1);
  for (let round = 0; round < 3; round += 1) assert.equal((await post(exec, { prompt: '' })).status, 400);
  assert.equal((await post(exec, { prompt: 'say 1' })).status, 200);
  assert.equal((await post(exec, { prompt: 'say 1' })).status, 429);
  const stranger = { authorization: `Bearer ${otherTenantToken}` };
  assert.equal((await post(exec, { prompt: 'say 1' }, stranger)).status, 200);
});

test('a request that is repeated under its key is shown its turn, however many were started', async (t) => {
  const { post } = await limited(t, 1);
  const key = { 'idempotency-key': 'one' };
  const made = await jsonOf(await post(exec, { prompt: 'say 1' }, key));
  const repeated = await post(exec, { prompt: 'say 1' }, key);
  assert.deepEqual([repeated.status, (await jsonOf(repeated))['turn_id']], [200, made['turn_id']]);
  assert.equal((await post(exec, { prompt: 'say 1' }, { 'idempotency-key': 'two' })).status, 429);
});

test('gateways that share a limiter share the limit', async (t) => {
  const rateLimiter = new MemoryRateLimiter(new FakeClock());
  const gateways = await Promise.all([limited(t, 3, { rateLimiter }), limited(t, 3, { rateLimiter })]);
  const statuses = await Promise.all(
    Array.from({ length: 8 }, async (_, index) => (await gateways[index % 2]?.post(exec, { prompt: 'say 1' }))?.status),
  );
  assert.equal(statuses.filter((status) => status === 200).length, 3);
  assert.equal(statuses.filter((status) => status === 429).length, 5);
});

test('where there is no limit the limiter is not asked', async (t) => {
  const rateLimiter: RateLimiter = { take: () => assert.fail('nobody counts') };
  const { post } = await startGateway(t, { rateLimiter });
  for (let round = 0; round < 5; round += 1) assert.equal((await post(exec, { prompt: 'say 1' })).status, 200);
});

test('a limiter that is away lets everybody through, is left alone for a while, and is told of once', async () => {
  const lines: { event?: string }[] = [];
  const clock = new FakeClock();
  let asked = 0;
  let answer = (): Promise<RateAnswer> => Promise.reject(new ServiceError('store_unavailable'));
  const rate = new TurnRate({
    clock,
    logger: createLogger({
      level: 'info',
      role: 'test',
      destination: { write: (line) => void lines.push(JSON.parse(line)) },
    }),
    limits: { ...defaultGatewayLimits, turnsPerMinute: 1 },
    rateLimiter: {
      take: () => {
        asked += 1;
        return answer();
      },
    },
  });
  for (let second = 0; second < 5; second += 1) {
    for (let turn = 0; turn < 10; turn += 1) await rate.assertWithin('acme');
    clock.advance(1_000);
  }
  assert.equal(asked, 5);

  answer = () => new Promise(() => {});
  const waiting = rate.assertWithin('acme');
  await clock.advanceAsync(250);
  await waiting;
  clock.advance(1_000);

  answer = async () => ({ allowed: false, retryAfterMs: 1, limit: 1, remaining: 0 });
  await assert.rejects(rate.assertWithin('acme'), { code: 'rate_limited', details: { limit: 1, retry_after_s: 1 } });
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['rate_limit_skipped', 'rate_limit_back'],
  );
});
