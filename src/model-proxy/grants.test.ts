import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GrantRequest } from '../contracts/model-grants.ts';
import { isServiceError } from '../core/errors.ts';
import { defaultGrantLimits, GrantTable } from './grants.ts';
import { ModelRefusal } from './refusal.ts';

const request: GrantRequest = { tenant: 'a', sessionId: 's', epoch: 1, models: [] };
const ignore = (): void => {};

function refusedAs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ModelRefusal && error.code === code;
}

test('a credential is good exactly while its turn runs', () => {
  const grants = new GrantTable(defaultGrantLimits);
  const { id, credential } = grants.issue(request);
  const bearer = `Bearer ${credential}`;
  assert.match(credential, /^cfg_[\w-]{43}$/);
  assert.throws(() => grants.openCall(bearer, ignore), refusedAs('no_running_turn'));
  grants.beginTurn(id, 't');
  assert.equal(grants.openCall(bearer, ignore).turnId, 't');
  grants.endTurn(id, 'another');
  assert.equal(grants.openCall(bearer, ignore).request.sessionId, 's');
  grants.endTurn(id, 't');
  assert.throws(() => grants.openCall(bearer, ignore), refusedAs('no_running_turn'));
  grants.revoke(id);
  grants.revoke(id);
  assert.throws(() => grants.openCall(bearer, ignore), refusedAs('grant_ended'));
});

test('what is no credential of ours is unknown', () => {
  const grants = new GrantTable(defaultGrantLimits);
  const { credential } = grants.issue(request);
  for (const header of [
    undefined,
    '',
    'Bearer',
    'Bearer x',
    `Basic ${credential}`,
    `Bearer ${credential}x`,
    `Bearer ${'x'.repeat(300)}`,
  ]) {
    assert.throws(() => grants.openCall(header, ignore), refusedAs('invalid_api_key'));
  }
});

test('a later epoch ends the earlier ones for good, of that session alone', () => {
  const grants = new GrantTable(defaultGrantLimits);
  const old = grants.issue(request);
  const other = grants.issue({ ...request, tenant: 'b' });
  let cuts = 0;
  grants.beginTurn(old.id, 't');
  grants.openCall(`Bearer ${old.credential}`, () => (cuts += 1));
  grants.issue({ ...request, epoch: 3 });
  assert.equal(cuts, 1);
  assert.throws(
    () => grants.beginTurn(old.id, 't2'),
    (error) => isServiceError(error, 'grant_not_found'),
  );
  assert.throws(
    () => grants.issue({ ...request, epoch: 2 }),
    (error) => isServiceError(error, 'stale_epoch'),
  );
  grants.beginTurn(other.id, 't');
});

test('calls under way are cut once when their turn ends, and not when they ended before', () => {
  const grants = new GrantTable(defaultGrantLimits);
  const { id, credential } = grants.issue(request);
  const cut: string[] = [];
  grants.beginTurn(id, 't');
  grants.openCall(`Bearer ${credential}`, () => cut.push('done')).close();
  grants.openCall(`Bearer ${credential}`, () => cut.push('running'));
  grants.endTurn(id, 't');
  grants.revoke(id);
  assert.deepEqual(cut, ['running']);
});

test('calls and tokens are counted per turn, calls up to the budget', () => {
  const grants = new GrantTable({ ...defaultGrantLimits, maxCallsPerTurn: 2 });
  const { id, credential } = grants.issue(request);
  grants.beginTurn(id, 't');
  const call = grants.openCall(`Bearer ${credential}`, ignore);
  call.countAttempt();
  call.countAttempt();
  assert.throws(() => call.countAttempt(), refusedAs('turn_budget_exhausted'));
  call.addUsage({ inputTokens: 3, cachedInputTokens: 1, outputTokens: 2, reasoningOutputTokens: 0, costUsd: null });
  const tally = grants.endTurn(id, 't');
  assert.deepEqual([tally.calls, tally.usage.inputTokens, tally.usage.outputTokens], [2, 3, 2]);
  grants.beginTurn(id, 't2');
  assert.equal(grants.endTurn(id, 't2').calls, 0);
});

test('what one session or all of them may hold is bounded', () => {
  const grants = new GrantTable({ ...defaultGrantLimits, maxGrants: 1, maxConcurrentCalls: 1 });
  const { id, credential } = grants.issue(request);
  assert.throws(
    () => grants.issue({ ...request, sessionId: 'x' }),
    (error) => isServiceError(error, 'queue_full'),
  );
  grants.beginTurn(id, 't');
  grants.openCall(`Bearer ${credential}`, ignore);
  assert.throws(() => grants.openCall(`Bearer ${credential}`, ignore), refusedAs('too_many_calls'));
});
