import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import type { ApprovalResource } from '../../src/api/approvals.ts';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { DeliveryResource, WebhookResource } from '../../src/api/webhooks.ts';
import { noticeTypes } from '../../src/core/webhook.ts';
import { eventually } from './eventually.ts';
import type { FleetClient } from './fleet-client.ts';
import { FleetUnderTest, newDirectory } from './fleet-under-test.ts';
import { codexAbove, findByArgs } from './processes.ts';
import { useFleet } from './use-fleet.ts';
import {
  accepting,
  type Behaviour,
  failingHalfOfThem,
  isSignedBy,
  sentInTurn,
  subjectOf,
  toldInOrder,
  WebhookReceiver,
} from './webhook-receiver.ts';

type Attempt = { readonly at: string; readonly http_status: number | null; readonly error: string | null };
type DeliveryDetail = DeliveryResource & {
  readonly attempts: readonly Attempt[];
  readonly payload: { readonly type: string; readonly timestamp: string; readonly data: unknown };
};
type MadeWebhook = WebhookResource & { readonly secret: string };

const receiversMayBeHere = {
  CODEX_FLEET_WEBHOOKS_ALLOW_HTTP: 'true',
  CODEX_FLEET_WEBHOOKS_ALLOW_PRIVATE: '127.0.0.1/32',
};
/** Of those that take no model call: what a killed fleet tells is in test/faults/webhook-kills.test.ts. */
const notToldHere: readonly string[] = ['turn.interrupted', 'session.recovered', 'budget.exhausted'];

const fleet = useFleet({ env: { ...receiversMayBeHere, CODEX_FLEET_WEBHOOKS_TIMEOUT_MS: '1000' } });

/** A receiver with a webhook of its own. `events`: default, what nothing here does by itself. */
async function receiving(
  t: TestContext,
  behaviour: Behaviour = accepting,
  events: readonly string[] | null = ['budget.exhausted'],
): Promise<{ receiver: WebhookReceiver; webhook: MadeWebhook }> {
  const receiver = await WebhookReceiver.start(behaviour);
  t.after(() => receiver.close());
  return { receiver, webhook: await tellThem(fleet().client, receiver, events) };
}

async function tellThem(
  client: FleetClient,
  receiver: WebhookReceiver,
  events: readonly string[] | null,
): Promise<MadeWebhook> {
  const { body, status, text } = await client.request<MadeWebhook>('POST', '/api/v1/webhooks', {
    url: receiver.url,
    events,
  });
  assert.equal(status, 201, text);
  receiver.trust(body.secret);
  return body;
}

async function askTest({ id }: Pick<WebhookResource, 'id'>, client = fleet().client): Promise<DeliveryResource> {
  const { body, status, text } = await client.request<DeliveryResource>('POST', `/api/v1/webhooks/${id}/test`);
  assert.equal(status, 202, text);
  return body;
}

async function look({ id, webhook_id }: DeliveryResource, client = fleet().client): Promise<DeliveryDetail> {
  return (await client.request<DeliveryDetail>('GET', `/api/v1/webhooks/${webhook_id}/deliveries/${id}`)).body;
}

async function attempted(delivery: DeliveryResource, client = fleet().client): Promise<DeliveryDetail> {
  return await eventually('the delivery was attempted', 10_000, async () => {
    const now = await look(delivery, client);
    return now.attempt_count > 0 ? now : null;
  });
}

suite('webhooks', { concurrency: true }, () => {
  test('what happens is told, signed, and in order for each turn: to a receiver that fails half the time, too [webhook-told] [webhook-failing]', async (t) => {
    const elsewhere = await WebhookReceiver.start();
    t.after(() => elsewhere.close());
    const redirect = { status: 307, headers: { location: elsewhere.url } };
    const good = await receiving(t, accepting, null);
    const half = await receiving(t, failingHalfOfThem([500, 'close', redirect, 'hang']), null);
    const ofJob = await WebhookReceiver.start();
    t.after(() => ofJob.close());
    const erasing = erasure([good.receiver, half.receiver]);
    const stages = [approvals(), plainEnds(), quarantine(), erasing.then(({ told }) => told), jobs(ofJob)];
    const toBeTold = new Map((await Promise.all(stages)).flat());

    const { erased } = await erasing;
    const types = new Set([...toBeTold.values()].flat());
    assert.deepEqual(
      noticeTypes.filter((type) => !types.has(type)),
      notToldHere,
    );
    for (const [name, { receiver, webhook }] of Object.entries({ good, half })) {
      await eventually(
        `${name} was told all`,
        60_000,
        () => toldInOrder(toBeTold, receiver.accepted).length === 0,
      ).catch(() => assert.deepEqual(toldInOrder(toBeTold, receiver.accepted), [], name));
      assert.deepEqual([receiver.unsigned, sentInTurn(receiver.received)], [[], []], name);
      const ids = receiver.accepted
        .filter((one) => one.type === 'session.deleted' || !erased.has(subjectOf(one)))
        .map(({ id }) => id)
        .sort();
      // What has arrived is on record a moment later.
      await eventually(`${name}: what is listed is what came`, 5_000, async () => {
        return String([...(await idsOf(webhook, 'delivered'))].sort()) === String(ids);
      });
    }
    const failed = half.receiver.received.filter(({ isAccepted }) => !isAccepted);
    assert.ok(failed.length >= half.receiver.accepted.length / 3, `${failed.length} attempts failed`);
    assert.equal(elsewhere.connections, 0, 'a redirect is not followed');
    // Repeats are the same, byte for byte, each signed for its own time.
    for (const { body, id } of failed)
      assert.ok(half.receiver.received.every((other) => other.id !== id || other.body === body));
    const prompts = good.receiver.received.filter(({ data }) => 'prompt' in data);
    assert.deepEqual(prompts, [], 'no prompt is told');
    t.diagnostic(
      `${good.receiver.accepted.length} deliveries, ${failed.length} of ${half.receiver.received.length} failed`,
    );

    const [first, second, ...rest] = good.receiver.accepted;
    assert.ok(first !== undefined && second !== undefined);
    const order = good.receiver.accepted.toReversed();
    assert.ok(toldInOrder(toBeTold, [second, ...rest]).length > 0, 'the check sees what was not told');
    assert.ok(toldInOrder(toBeTold, order).length > 0, 'and another order');
    assert.ok(isSignedBy(good.webhook.secret, first.headers, first.body));
    assert.ok(!isSignedBy(good.webhook.secret, first.headers, `${first.body} `), 'and another body');
  });

  test('while a secret is replaced both sign, then the new one alone [webhook-secret]', async (t) => {
    const { receiver, webhook } = await receiving(t);
    const rotate = async (overlapMs: number): Promise<string> => {
      const path = `/api/v1/webhooks/${webhook.id}/rotate-secret`;
      const { body, status, text } = await fleet().client.request<MadeWebhook>('POST', path, { overlap_ms: overlapMs });
      assert.equal(status, 200, text);
      receiver.trust(body.secret);
      return body.secret;
    };
    // Who delivers knows of it within two seconds.
    const signedBy = async (secrets: readonly string[]): Promise<void> => {
      await eventually(`deliveries are signed by ${secrets.length}`, 15_000, async () => {
        const { id } = await askTest(webhook);
        const came = await eventually('it came', 10_000, () => receiver.received.find((one) => one.id === id));
        const known = [...came.signedWith].sort();
        return JSON.stringify(known) === JSON.stringify([...secrets].sort());
      });
    };
    await signedBy([webhook.secret]);
    const second = await rotate(60_000);
    await signedBy([webhook.secret, second]);
    const third = await rotate(0);
    await signedBy([third]);
    assert.deepEqual(receiver.unsigned, []);
  });

  test('a test is told to one webhook alone, listed with its attempts, and told again when asked [webhook-replay]', async (t) => {
    const { receiver, webhook } = await receiving(t, ({ attempt }) => (attempt === 1 ? 503 : 204));
    const other = await receiving(t);
    const asked = await askTest(webhook);
    const failed = await attempted(asked);
    assert.deepEqual([failed.status, failed.last_attempt?.http_status], ['pending', 503]);
    const done = await eventually('the second attempt arrives', 15_000, async () => {
      const now = await look(asked);
      return now.status === 'delivered' ? now : null;
    });
    assert.deepEqual(
      done.attempts.map(({ error, http_status }) => [http_status, error]),
      [
        [503, 'the receiver refused it'],
        [204, null],
      ],
    );
    assert.deepEqual([done.type, done.payload.data], ['webhook.test', { id: webhook.id, object: 'webhook' }]);
    receiver.behaviour = accepting;
    const replayPath = `/api/v1/webhooks/${webhook.id}/deliveries/${asked.id}/replay`;
    const replayed = await fleet().client.request<DeliveryResource>('POST', replayPath);
    assert.equal(replayed.status, 202, replayed.text);
    assert.equal(replayed.headers.get('location'), `/api/v1/webhooks/${webhook.id}/deliveries/${replayed.body.id}`);
    const again = await attempted(replayed.body);
    assert.deepEqual([again.status, again.replay_of], ['delivered', asked.id]);
    assert.deepEqual(
      receiver.received.map(({ id, isAccepted }) => [id, isAccepted]),
      [
        [asked.id, false],
        [asked.id, true],
        [again.id, true],
      ],
    );
    assert.equal(new Set(receiver.received.map(({ body }) => body)).size, 1);
    assert.deepEqual(await idsOf(webhook, 'delivered'), new Set([asked.id, again.id]));
    assert.deepEqual(await idsOf(webhook, 'pending'), new Set());
    assert.equal(other.receiver.connections, 0);
  });

  test('what a receiver answers is on record, and done: gone is the end, Retry-After is waited for, nothing is followed [webhook-answers]', async (t) => {
    const elsewhere = await WebhookReceiver.start();
    t.after(() => elsewhere.close());
    const ask = async (behaviour: Behaviour) => {
      const { receiver, webhook } = await receiving(t, behaviour);
      return { receiver, webhook, delivery: await askTest(webhook) };
    };
    const [redirecting, gone, later, hanging, closing] = await Promise.all([
      ask(() => ({ status: 302, headers: { location: elsewhere.url } })),
      ask(() => 410),
      ask(({ attempt }) => (attempt > 1 ? 204 : { status: 429, headers: { 'retry-after': '7' } })),
      ask(() => 'hang'),
      ask(() => 'close'),
    ]);
    const outcome = async (delivery: DeliveryResource): Promise<unknown> => {
      const { attempts, status } = await attempted(delivery);
      return [status, attempts[0]?.http_status, attempts[0]?.error];
    };
    assert.deepEqual(await outcome(redirecting.delivery), ['pending', 302, 'redirects are not followed']);
    assert.deepEqual(await outcome(hanging.delivery), ['pending', null, 'no answer came in time']);
    assert.deepEqual(await outcome(closing.delivery), ['pending', null, 'the connection was cut']);
    assert.deepEqual(await outcome(gone.delivery), ['failed', 410, 'the receiver refused it']);
    const webhook = await eventually('the one that is gone is disabled', 5_000, async () => {
      const { body } = await fleet().client.request<WebhookResource>('GET', `/api/v1/webhooks/${gone.webhook.id}`);
      return body.status === 'disabled' ? body : null;
    });
    assert.equal(webhook.disabled_reason, 'gone');
    await eventually('the one that was busy gets it', 20_000, () => later.receiver.accepted.length > 0);
    const [first, second] = later.receiver.received;
    assert.ok((second?.atMs ?? 0) - (first?.atMs ?? 0) >= 6_900, 'it was asked for seven seconds');
    assert.equal(elsewhere.connections, 0);
  });

  test('nobody is told at a private address that was not opened, and nothing is connected there [webhook-private]', async (t) => {
    const scratch = newDirectory();
    t.after(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }));
    const dataDir = path.join(scratch, 'data');
    const receiver = await WebhookReceiver.start();
    t.after(() => receiver.close());
    const open = await FleetUnderTest.start({ dataDir, env: receiversMayBeHere });
    let webhook: MadeWebhook;
    try {
      // The control: while it is open, it is told.
      webhook = await tellThem(open.client, receiver, ['budget.exhausted']);
      assert.equal((await attempted(await askTest(webhook, open.client), open.client)).status, 'delivered');
    } finally {
      await open.close();
    }
    const before = receiver.connections;
    assert.equal(before, 1);
    await using closed = await FleetUnderTest.start({ dataDir, env: { CODEX_FLEET_WEBHOOKS_ALLOW_HTTP: 'true' } });
    const { client } = closed;
    const hosts = [
      '127.0.0.1',
      'localhost',
      'x.localhost',
      '[::1]',
      '[::ffff:7f00:1]',
      '2130706433',
      '0x7f.1',
      '127.1',
      '0',
    ];
    for (const host of hosts) {
      const url = `http://${host}:${receiver.port}/hook`;
      for (const [where, body] of [
        ['/api/v1/webhooks', { url }],
        ['/api/v1/jobs', { prompt: 'say: x', webhook: { url } }],
      ] as const) {
        const problem = await client.problem('POST', where, body);
        assert.deepEqual([problem.status, problem.code], [400, 'invalid_request'], `${where} ${url}`);
      }
    }
    // One that was made while it was open.
    const { attempts, status } = await attempted(await askTest(webhook, client), client);
    assert.deepEqual(
      [status, attempts[0]?.http_status, attempts[0]?.error],
      ['pending', null, 'the URL must not lead to an address that is not public'],
    );
    assert.equal(receiver.connections, before, 'nothing connects');
  });
});

type Told = [subject: string, types: readonly string[]];

async function makeSession(body: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const made = await fleet().client.request<{ id: string }>('POST', '/api/v1/sessions', body);
  assert.equal(made.status, 201, made.text);
  return made.body.id;
}

async function approvals(): Promise<Told[]> {
  const { client } = fleet();
  const session = await makeSession({ approval_policy: 'on-request' });
  const told: Told[] = [[session, ['session.created']]];
  for (const decision of ['accept', 'decline']) {
    const turn = await client.startTurn(`ask: touch /s/home/${decision}`, session);
    const approval = await eventually('the turn asks', 20_000, async () => {
      const query = `/api/v1/approvals?session_id=${session}&status=pending`;
      return (await client.request<ListOf<ApprovalResource>>('GET', query)).body.data[0];
    });
    const decided = await client.request('POST', `/api/v1/approvals/${approval.id}/decision`, { decision });
    assert.equal(decided.status, 200, decided.text);
    assert.equal((await client.turnEnded(session, turn.id)).status, 'completed');
    told.push([turn.id, ['approval.requested', 'turn.requires_action', 'approval.resolved', 'turn.completed']]);
  }
  return told;
}

async function plainEnds(): Promise<Told[]> {
  const { client } = fleet();
  const session = await makeSession();
  const told: Told[] = [[session, ['session.created']]];
  const prompts = { completed: 'say: done', failed: 'fail: quota', timed_out: 'stall' } as const;
  for (const [status, prompt] of Object.entries(prompts)) {
    const { body } = await client.exec({
      prompt,
      session_id: session,
      timeout_ms: prompt === 'stall' ? 1_000 : 20_000,
    });
    assert.equal(body.status, status);
    told.push([body.turn_id, [`turn.${status}`]]);
  }
  const turn = await client.startTurn('stall', session);
  await eventually('the turn runs', 10_000, async () => (await client.turn(session, turn.id)).status === 'running');
  assert.equal((await client.cancel(session, turn.id)).body.status, 'cancelled');
  told.push([turn.id, ['turn.cancelled']]);
  return told;
}

/** A session whose Codex dies twice in a row. */
async function quarantine(): Promise<Told[]> {
  const { client } = fleet();
  const session = await makeSession();
  const told: Told[] = [[session, ['session.created', 'session.quarantined']]];
  for (const count of [1, 2]) {
    const duration = `601.${process.pid}${count}`;
    const answer = client.exec({ prompt: `run: sleep ${duration}`, session_id: session });
    const sleeping = await eventually('the command runs', 15_000, () => findByArgs('sleep', duration)[0]);
    const codex = codexAbove(sleeping.pid) ?? assert.fail('the command was started by Codex');
    process.kill(codex.pid, 'SIGKILL');
    const { body } = await answer;
    assert.equal(body.error?.code, 'agent_crashed');
    told.push([body.turn_id, ['turn.failed']]);
  }
  return told;
}

/** `erased`: of what no delivery is on record any more but that the session was erased. */
async function erasure(receivers: readonly WebhookReceiver[]): Promise<{ told: Told[]; erased: Set<string> }> {
  const { client } = fleet();
  const { session_id: session, turn_id: turn } = await client.completed('say: not for long');
  const before = new Map<string, readonly string[]>([
    [turn, ['turn.completed']],
    [session, ['session.created']],
  ]);
  // What has not arrived by then is told no more.
  await eventually('what it did was told', 60_000, () =>
    receivers.every(({ accepted }) => toldInOrder(before, accepted).length === 0),
  );
  assert.equal((await client.request('DELETE', `/api/v1/sessions/${session}`)).status, 200);
  const told: Told[] = [...before, [session, ['session.created', 'session.deleted']]];
  return { told, erased: new Set([turn, session]) };
}

/** Of one of them the receiver of its own is told as well. */
async function jobs(own: WebhookReceiver): Promise<Told[]> {
  const { client } = fleet();
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  own.trust(secret);
  const make = async (body: object): Promise<JobResource> => {
    const { body: job, status, text } = await client.request<JobResource>('POST', '/api/v1/jobs', body);
    assert.equal(status, 202, text);
    return job;
  };
  const retry = { max_attempts: 2, first_delay_ms: 100 };
  const [completing, failing, waiting] = await Promise.all([
    make({ prompt: 'say: done', webhook: { url: own.url, secret } }),
    make({ prompt: 'fail: quota', retry }),
    make({ prompt: 'say: never', run_at: new Date(Date.now() + 3_600_000).toISOString() }),
  ]);
  assert.equal((await client.request('POST', `/api/v1/jobs/${waiting.id}/cancel`)).status, 200);
  const told: Told[] = [[waiting.id, ['job.cancelled']]];
  for (const [{ id }, types] of [
    [completing, ['job.started', 'job.completed']],
    [failing, ['job.started', 'job.retrying', 'job.started', 'job.failed']],
  ] as const) {
    told.push([id, types]);
    const ended = await eventually('the job ends', 30_000, async () => {
      const { body } = await client.request<JobResource>('GET', `/api/v1/jobs/${id}`);
      return body.ended_at === null ? null : body;
    });
    for (const { session_id, status, turn_id } of ended.attempts)
      told.push([turn_id, [`turn.${status}`]], [String(session_id), ['session.created']]);
  }
  const ownStory: Told = [completing.id, ['job.started', 'job.completed']];
  await eventually(
    'its own receiver is told',
    10_000,
    () => toldInOrder(new Map([ownStory]), own.accepted).length === 0,
  );
  assert.deepEqual([own.unsigned, own.accepted.length], [[], 2], 'of nothing else');
  const { body } = await client.request<ListOf<DeliveryResource>>('GET', `/api/v1/jobs/${completing.id}/deliveries`);
  assert.deepEqual(
    body.data.map(({ job_id, status }) => [job_id, status]),
    Array(2).fill([completing.id, 'delivered']),
  );
  return told;
}

async function idsOf(webhook: WebhookResource, status: string): Promise<Set<string>> {
  const ids = new Set<string>();
  for (let after = ''; ; ) {
    const path = `/api/v1/webhooks/${webhook.id}/deliveries?limit=20&status=${status}${after}`;
    const { body, text } = await fleet().client.request<ListOf<DeliveryResource>>('GET', path);
    assert.ok(Array.isArray(body.data), text);
    for (const { id } of body.data) ids.add(id);
    if (!body.has_more) return ids;
    after = `&after=${body.last_id}`;
  }
}
