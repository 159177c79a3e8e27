import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalResource } from '../../src/api/approvals.ts';
import type { EventOnWire } from '../../src/api/events.ts';
import type { TicketResource, WorkerResource } from '../../src/api/fleet.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { eventually } from '../e2e/eventually.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';
import { assertResumed, assertWholeTurn } from '../e2e/event-checks.ts';
import { WsClient } from '../e2e/ws-client.ts';
import { RunningCluster } from './running-cluster.ts';

async function running(client: FleetClient, session: string, turnId: string): Promise<void> {
  await eventually('the turn runs', 20_000, async () => (await client.turn(session, turnId)).status === 'running');
}

test('what one gateway began is streamed, resumed, cancelled, steered and approved at the other [fleet-any-gateway]', {
  timeout: 180_000,
}, async (t) => {
  const cluster = await RunningCluster.start(t);
  if (cluster === null) return;
  const one = cluster.gateway(1);
  const other = cluster.gateway(2);

  await t.test('a session goes on wherever it is asked', async () => {
    const first = await one.completed('write: note.txt: made at one gateway', 'shared');
    const second = await other.completed('run: cat note.txt', 'shared');
    assert.equal(second.session_id, first.session_id);
    assert.match(second.stdout, /made at one gateway/);
    const { body } = await other.request<ListOf<WorkerResource>>('GET', '/api/v1/workers');
    assert.deepEqual(
      body.data.map(({ id, status }) => [id, status]),
      [
        ['worker-1', 'ready'],
        ['worker-2', 'ready'],
      ],
    );
  });

  await t.test('a stream is followed at both, and resumed at the other from any place', async () => {
    const turn = await one.startTurn('stream: 60 words at 20 ms', 'shared');
    const place = { sessionId: turn.session_id, turnId: turn.id };
    const [here, there] = await Promise.all([
      one.followTurn(place.sessionId, place.turnId),
      other.followTurn(place.sessionId, place.turnId),
    ]);
    const whole = here.filter((event: EventOnWire) => event.turn_id === turn.id);
    assert.deepEqual(
      there.filter((event) => event.turn_id === turn.id),
      whole,
    );
    assertWholeTurn(whole, place);
    const middle = Math.floor(here.length / 2);
    const rest = await other.followTurn(place.sessionId, place.turnId, here[middle - 1]?.cursor);
    assertResumed(here.slice(0, middle), rest, here);
  });

  await t.test('a turn is cancelled at the other', async () => {
    const turn = await one.startTurn('run: sleep 600', 'shared');
    await running(other, 'shared', turn.id);
    assert.equal((await other.cancel('shared', turn.id)).status, 200);
    assert.equal((await one.turn('shared', turn.id)).status, 'cancelled');
  });

  await t.test('a turn is steered at the other', async () => {
    const turn = await one.startTurn('run: sleep 3\nsay: done', 'shared');
    await running(other, 'shared', turn.id);
    const path = `/api/v1/sessions/shared/turns/${turn.id}/steer`;
    const steered = await eventually('the turn takes it', 10_000, async () => {
      const answer = await other.request('POST', path, { prompt: 'say: and this' });
      return answer.status === 200 || answer.status === 202 ? answer : null;
    });
    assert.ok(steered.status < 300, steered.text);
    assert.equal((await one.turnEnded('shared', turn.id)).status, 'completed');
  });

  await t.test('a question is answered at the other', async () => {
    const made = await one.request('POST', '/api/v1/sessions', { id: 'asking', approval_policy: 'on-request' });
    assert.equal(made.status, 201, made.text);
    const turn = await one.startTurn('ask: touch /s/home/outside && echo it ran', 'asking');
    const approval = await eventually('the turn asks', 20_000, async () => {
      const path = '/api/v1/approvals?session_id=asking&status=pending';
      return (await other.request<ListOf<ApprovalResource>>('GET', path)).body.data[0] ?? null;
    });
    const decided = await other.request('POST', `/api/v1/approvals/${approval.id}/decision`, { decision: 'accept' });
    assert.equal(decided.status, 200, decided.text);
    const ended: TurnResource = await one.turnEnded('asking', turn.id);
    assert.equal(ended.status, 'completed');
    assert.match(ended.stdout, /it ran/);
  });

  await t.test('a ticket of one opens a socket at the other, once', async () => {
    const { body } = await one.request<TicketResource>('POST', '/api/v1/tickets');
    const protocols = ['codex-fleet', `ticket.${body.ticket}`];
    const socket = await WsClient.open(other.url, {}, protocols);
    await socket.close();
    await assert.rejects(WsClient.open(other.url, {}, protocols));
  });

  await t.test('one Idempotency-Key at both at once is one turn', async () => {
    const headers = { 'idempotency-key': 'the-same' };
    const asked = [one, other, one, other].map((client) => client.exec({ prompt: 'say: once' }, headers));
    const answers = await Promise.all(asked);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    assert.equal(new Set(answers.map(({ body }) => body.turn_id)).size, 1);
  });
});
