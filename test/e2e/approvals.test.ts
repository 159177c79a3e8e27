import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalResource } from '../../src/api/approvals.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { SessionResource } from '../../src/api/sessions.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

/** Starts a turn that asks, and waits until it does. */
async function asked(
  session: string,
  prompt: string,
): Promise<{ approval: ApprovalResource; turn: () => Promise<TurnResource> }> {
  const { client } = fleet();
  const started = await client.request<TurnResource>('POST', `/api/v1/sessions/${session}/turns`, { prompt });
  assert.equal(started.status, 202, started.text);
  const path = `/api/v1/sessions/${session}/turns/${started.body.id}`;
  const turn = async (): Promise<TurnResource> => (await client.request<TurnResource>('GET', path)).body;
  await eventually('the turn asks', 20_000, async () => (await turn()).status === 'requires_action');
  const query = `/api/v1/approvals?session_id=${session}&status=pending`;
  const { body } = await client.request<ListOf<ApprovalResource>>('GET', query);
  const [approval] = body.data;
  assert.ok(approval !== undefined && body.data.length === 1);
  return { approval, turn };
}

async function decide(approval: ApprovalResource, decision: string): Promise<void> {
  const path = `/api/v1/approvals/${approval.id}/decision`;
  const { status, text } = await fleet().client.request('POST', path, { decision });
  assert.equal(status, 200, text);
}

async function ended(turn: () => Promise<TurnResource>): Promise<TurnResource> {
  await eventually('the turn ends', 20_000, async () => (await turn()).ended_at !== null);
  return await turn();
}

test('what wants more than the sandbox waits for a person: accepted it runs, declined it does not, cancelled the turn ends [approval-asked]', async () => {
  const { client } = fleet();
  const body = { id: 'asking', approval_policy: 'on-request' };
  assert.equal((await client.request('POST', '/api/v1/sessions', body)).status, 201);
  const statusOf = async (): Promise<string> =>
    (await client.request<SessionResource>('GET', '/api/v1/sessions/asking')).body.status;

  const accepted = await asked('asking', 'ask: touch /s/home/outside && echo it ran');
  assert.equal(await statusOf(), 'requires_action');
  assert.equal(accepted.approval.command?.includes('touch /s/home/outside'), true);
  await decide(accepted.approval, 'accept');
  const done = await ended(accepted.turn);
  assert.equal(done.status, 'completed');
  assert.match(done.stdout, /it ran/);

  const declined = await asked('asking', 'ask: touch /s/home/declined');
  await decide(declined.approval, 'decline');
  assert.equal((await ended(declined.turn)).status, 'completed');

  const cancelled = await asked('asking', 'ask: touch /s/home/cancelled');
  await decide(cancelled.approval, 'cancel');
  const { reason, status } = await ended(cancelled.turn);
  assert.deepEqual([status, reason], ['cancelled', 'user']);

  const { stdout } = await client.completed('run: ls /s/home', 'asking');
  assert.doesNotMatch(stdout, /declined|cancelled/);
});

test('a turn that is cancelled while it asks ends, and its question with it', async () => {
  const { client } = fleet();
  const body = { id: 'stopped', approval_policy: 'untrusted' };
  assert.equal((await client.request('POST', '/api/v1/sessions', body)).status, 201);
  const { approval, turn } = await asked('stopped', 'run: touch it');
  const { id } = await turn();
  assert.equal((await client.request('POST', `/api/v1/sessions/stopped/turns/${id}/cancel`)).status, 200);
  const { body: left } = await client.request<ApprovalResource>('GET', `/api/v1/approvals/${approval.id}`);
  assert.deepEqual([left.status, left.decision, left.decided_by], ['expired', 'decline', 'turn_ended']);
  const late = await client.request<{ code: string }>('POST', `/api/v1/approvals/${approval.id}/decision`, {
    decision: 'accept',
  });
  assert.deepEqual([late.status, late.body.code], [409, 'approval_settled']);
});
