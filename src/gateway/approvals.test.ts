import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ApprovalRecord } from '../core/approval.ts';
import { toTimestamp } from '../core/clock.ts';
import { mintId } from '../core/ids.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type GatewayFixture, jsonOf, otherTenantToken, startGateway } from '../testing/gateway-fixture.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';

const nowMs = Date.UTC(2026, 0, 1);
const tenant = 'default';
const sessionId = '019f0000-0000-7000-8000-000000000001';

function pending(changes: Partial<ApprovalRecord> = {}): ApprovalRecord {
  return {
    tenant,
    id: mintId(),
    sessionId,
    turnId: turnRecord().id,
    revision: 1,
    status: 'pending',
    subject: { kind: 'command', command: 'make', cwd: '/s/ws', patchHash: null },
    fingerprint: 'f'.repeat(64),
    reason: 'because',
    itemId: 'c1',
    details: { command_actions: [] },
    decision: null,
    decidedBy: null,
    supersededBy: null,
    createdAt: nowMs,
    expiresAt: nowMs + 1_000,
    resolvedAt: null,
    ...changes,
  };
}

async function startWith(t: TestContext, ...approvals: ApprovalRecord[]): Promise<GatewayFixture> {
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs) });
  await fleet.records.sessions.create(sessionRecord({ tenant, alias: 'mine' }));
  for (const approval of approvals) await fleet.records.approvals.create(approval);
  return fleet;
}

const decide = (fleet: GatewayFixture, id: string, decision: unknown): Promise<Response> =>
  fleet.post(`/api/v1/approvals/${id}/decision`, { decision });

test('an approval is answered once: durable, told to the worker, and the same answer again is fine', async (t) => {
  const approval = pending();
  const fleet = await startWith(t, approval);
  const response = await decide(fleet, approval.id, 'accept');
  const resource = {
    id: approval.id,
    object: 'approval',
    session_id: sessionId,
    turn_id: approval.turnId,
    item_id: 'c1',
    status: 'decided',
    kind: 'command',
    command: 'make',
    cwd: '/s/ws',
    patch_hash: null,
    reason: 'because',
    details: { command_actions: [] },
    fingerprint: approval.fingerprint,
    decision: 'accept',
    decided_by: 'tester',
    superseded_by: null,
    created_at: toTimestamp(nowMs),
    expires_at: toTimestamp(nowMs + 1_000),
    resolved_at: toTimestamp(nowMs),
  };
  assert.deepEqual([response.status, await jsonOf(response)], [200, resource]);
  assert.deepEqual(fleet.worker.settledApprovals, [approval.id]);
  assert.deepEqual(await jsonOf(await decide(fleet, approval.id.toUpperCase(), 'accept')), resource);
  assert.deepEqual(await jsonOf(await fleet.get(`/api/v1/approvals/${approval.id}`)), resource);
  assert.deepEqual(fleet.worker.settledApprovals, [approval.id]);

  const other = await decide(fleet, approval.id, 'decline');
  const { code, approval_status: status, decision } = await jsonOf(other);
  assert.deepEqual([other.status, code, status, decision], [409, 'approval_settled', 'decided', 'accept']);
});

test('the same answer of somebody else is another answer', async (t) => {
  const approval = pending({ status: 'decided', decision: 'accept', decidedBy: 'ann', resolvedAt: nowMs });
  const fleet = await startWith(t, approval);
  assert.equal((await decide(fleet, approval.id, 'accept')).status, 409);
});

test('of ten answers at once one is written', async (t) => {
  const approval = pending();
  const fleet = await startWith(t, approval);
  const decisions = Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? 'accept' : 'decline'));
  const answers = await Promise.all(decisions.map((decision) => decide(fleet, approval.id, decision)));
  const standing = await fleet.records.approvals.get(tenant, approval.id);
  assert.deepEqual(
    answers.map(({ status }) => status),
    decisions.map((decision) => (decision === standing?.decision ? 200 : 409)),
  );
  assert.deepEqual([standing?.revision, fleet.worker.settledApprovals.length], [2, 1]);
});

test('no answer comes after the time is over, with nobody there to say so either', async (t) => {
  const approval = pending({ expiresAt: nowMs });
  const fleet = await startWith(t, approval);
  const response = await decide(fleet, approval.id, 'accept');
  assert.deepEqual([response.status, (await jsonOf(response))['code']], [409, 'approval_settled']);
  const { decidedBy, decision, status } = (await fleet.records.approvals.get(tenant, approval.id)) ?? {};
  assert.deepEqual([status, decision, decidedBy], ['expired', 'decline', 'timeout']);
  assert.deepEqual(fleet.worker.settledApprovals, [approval.id]);
});

test('a worker that does not listen costs the answer a second, not more', async (t) => {
  const approval = pending();
  const clock = new FakeClock(nowMs);
  const fleet = await startGateway(t, { clock });
  await fleet.records.approvals.create(approval);
  const asked = Promise.withResolvers<void>();
  fleet.worker.approvalSettled = () => {
    asked.resolve();
    return new Promise(() => {});
  };
  const answer = decide(fleet, approval.id, 'decline');
  await asked.promise;
  await clock.advanceAsync(1_000);
  assert.equal((await answer).status, 200);
  fleet.worker.approvalSettled = () => Promise.reject(new Error('gone'));
  const other = pending({ expiresAt: nowMs + 10_000 });
  await fleet.records.approvals.create(other);
  assert.equal((await decide(fleet, other.id, 'decline')).status, 200);
});

test('what another tenant was asked does not exist', async (t) => {
  const approval = pending();
  const fleet = await startWith(t, approval);
  const authorization = `Bearer ${otherTenantToken}`;
  const path = `/api/v1/approvals/${approval.id}`;
  for (const response of [
    await fleet.get(path, { authorization }),
    await fleet.post(`${path}/decision`, { decision: 'accept' }, { authorization }),
    await fleet.get(`/api/v1/approvals/${mintId()}`),
  ])
    assert.deepEqual([response.status, (await jsonOf(response))['code']], [404, 'approval_not_found']);
  const list = await jsonOf(await fleet.get('/api/v1/approvals', { authorization }));
  assert.deepEqual(list['data'], []);
  assert.equal((await fleet.records.approvals.get(tenant, approval.id))?.status, 'pending');
});

test('approvals are listed by session and status, a page at a time', async (t) => {
  const settled = { decision: 'accept', decidedBy: 'ann', resolvedAt: nowMs } as const;
  const mine = [pending({ createdAt: nowMs - 2 }), pending({ createdAt: nowMs - 1, status: 'decided', ...settled })];
  const others = [pending({ sessionId: '019f0000-0000-7000-8000-000000000002' })];
  const fleet = await startWith(t, ...mine, ...others);
  const ids = async (query: string): Promise<unknown> => {
    const { data, has_more: hasMore } = await jsonOf(await fleet.get(`/api/v1/approvals${query}`));
    return [(data as { id: string }[]).map(({ id }) => id), hasMore];
  };
  const [first = '', second = '', third = ''] = [...mine, ...others].map(({ id }) => id);
  assert.deepEqual(await ids(''), [[third, second, first], false]);
  assert.deepEqual(await ids('?order=asc&status=pending'), [[first, third], false]);
  assert.deepEqual(await ids('?session_id=mine'), [[second, first], false]);
  assert.deepEqual(await ids('?session_id=mine&limit=1'), [[second], true]);
  assert.deepEqual(await ids(`?session_id=mine&limit=1&after=${second}`), [[first], false]);
  assert.equal((await fleet.get('/api/v1/approvals?session_id=nobody')).status, 404);
  for (const query of ['?status=open', '?limit=0', '?sort=asc'])
    assert.equal((await fleet.get(`/api/v1/approvals${query}`)).status, 400, query);
  for (const body of [{}, { decision: 'yes' }, { decision: 'accept', note: 'x' }])
    assert.equal((await fleet.post(`/api/v1/approvals/${first}/decision`, body)).status, 400);
  assert.equal((await fleet.get('/api/v1/approvals/..')).status, 404);
  assert.equal((await fleet.get('/api/v1/approvals/nothing')).status, 400);
});
