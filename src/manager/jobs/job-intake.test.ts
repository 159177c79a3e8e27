import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { createJobRequestSchema } from '../../api/jobs.ts';
import { validate } from '../../api/validation.ts';
import type { IncomingMessage, MessageAnswer } from '../../contracts/message-source.ts';
import { type ErrorCode, ServiceError } from '../../core/errors.ts';
import { isUuid } from '../../core/ids.ts';
import { type JobRecord, noRetry } from '../../core/job.ts';
import { createLogger } from '../../observability/logger.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { JobIntake, type JobIntakeOptions } from './job-intake.ts';

const subscription = 'projects/p/subscriptions/jobs';

function intakeOf(changes: Partial<JobIntakeOptions> = {}) {
  const records = new MemoryRecords();
  const metrics = createMetrics();
  const intake = new JobIntake({
    jobs: records.jobs,
    readJob: (value) => {
      const { prompt } = validate(createJobRequestSchema, value, 'body');
      const spec = {
        ...{ prompt, sessionRef: null, model: null, effort: null, outputSchema: null, metadata: {}, webhook: null },
        ...{ timeoutMs: 60_000, queueTimeoutMs: 60_000, retry: noRetry },
      };
      return { spec, runAt: null };
    },
    isTenant: (tenant) => tenant === 'default' || tenant === 'acme',
    subscription,
    maxBodyBytes: 10_000,
    maxOpenPerTenant: 100,
    clock: new FakeClock(),
    logger: createLogger({ level: 'silent', role: 'test' }),
    metrics,
    ...changes,
  });
  const jobsOf = async (tenant: string): Promise<readonly JobRecord[]> =>
    (await records.jobs.list(tenant, { status: null, scheduleId: null }, { after: null, limit: 100, order: 'asc' }))
      .data;
  return { intake, records, metrics, jobsOf };
}

let lastId = 0;

function messageOf(
  body: string | object | Uint8Array,
  attributes: Record<string, string> = {},
  changes: Partial<IncomingMessage> = {},
): IncomingMessage {
  const data = body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  lastId += 1;
  return { id: String(lastId), data, attributes, orderingKey: '', publishedAt: 0, deliveryAttempt: 0, ...changes };
}

function assertPoison(answer: MessageAnswer, code: ErrorCode): void {
  assert.equal(answer.outcome, 'poison');
  assert.ok(answer.outcome === 'poison' && answer.reason.startsWith(`${code}: `), JSON.stringify(answer));
}

test('a message becomes a queued job whose id follows from it, and a second copy changes nothing', async () => {
  const { intake, jobsOf, metrics } = intakeOf();
  const message = messageOf({ prompt: 'hello' });
  assert.deepEqual(await intake.handle(message), { outcome: 'done' });
  assert.deepEqual(await intake.handle(message), { outcome: 'done' });

  const [job, ...others] = await jobsOf('default');
  assert.equal(others.length, 0);
  assert.ok(job !== undefined && isUuid(job.id) && job.id[14] === '8');
  assert.deepEqual(
    { status: job.status, source: job.source, prompt: job.spec.prompt, dueAt: job.dueAt, requestId: job.requestId },
    { status: 'queued', source: 'pubsub', prompt: 'hello', dueAt: job.createdAt, requestId: message.id },
  );
  const { body } = await metrics.render();
  assert.match(body, /codex_fleet_messages_total\{outcome="accepted"\} 1/);
  assert.match(body, /codex_fleet_messages_total\{outcome="repeated"\} 1/);
});

test('an event is the same job however it is wrapped, and under whichever id of a message it comes', async () => {
  const { intake, jobsOf } = intakeOf();
  const ce = { 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': '/shop', 'ce-type': 'order.placed' };
  const event = { specversion: '1.0', id: 'e1', source: '/shop', type: 'order.placed', time: '2026-01-01T00:00:00Z' };
  const structured = { 'Content-Type': 'application/cloudevents+json; charset=utf-8' };
  const body = { prompt: 'ship it', metadata: { a: '1', b: '2' } };
  const copies = [
    messageOf(body, { ...ce, 'content-type': 'application/json' }),
    messageOf({ metadata: { b: '2', a: '1' }, prompt: 'ship it' }, ce),
    messageOf({ ...event, data: body }, structured),
    messageOf({ ...event, data_base64: Buffer.from(JSON.stringify(body)).toString('base64') }, structured),
  ];
  for (const copy of copies) assert.deepEqual(await intake.handle(copy), { outcome: 'done' });
  assert.deepEqual(
    (await jobsOf('default')).map(({ spec }) => spec.prompt),
    ['ship it'],
  );

  // The control: of another source, the same id is another event.
  await intake.handle(messageOf(body, { ...ce, 'ce-source': '/other' }));
  assert.equal((await jobsOf('default')).length, 2);
});

test('plain text is the prompt itself, alone and in an event', async () => {
  const { intake, jobsOf } = intakeOf();
  await intake.handle(messageOf('look around', { 'content-type': 'text/plain; charset=utf-8' }));
  const event = {
    specversion: '1.0',
    id: 'e',
    source: 's',
    type: 't',
    datacontenttype: 'text/plain',
    data: 'and again',
  };
  await intake.handle(messageOf(event, { 'content-type': 'application/cloudevents+json' }));
  assert.deepEqual((await jobsOf('default')).map(({ spec }) => spec.prompt).toSorted(), ['and again', 'look around']);
});

test('an idempotency key goes before the event, and counts within a tenant', async () => {
  const { intake, jobsOf } = intakeOf();
  const key = { idempotency_key: 'k1' };
  await intake.handle(messageOf({ prompt: 'x' }, { ...key, 'ce-id': 'a', 'ce-source': 's' }));
  await intake.handle(messageOf({ prompt: 'x' }, { ...key, 'ce-id': 'b', 'ce-source': 's' }));
  await intake.handle(messageOf({ prompt: 'x' }, { ...key, tenant: 'acme' }));
  assert.equal((await jobsOf('default')).length, 1);
  assert.equal((await jobsOf('acme')).length, 1);
  const [ours, theirs] = [await jobsOf('default'), await jobsOf('acme')].map(([job]) => job?.id);
  assert.notEqual(ours, theirs);
});

test('no key of one kind is taken for one of another', async () => {
  const { intake, jobsOf } = intakeOf();
  await intake.handle(messageOf({ prompt: 'x' }, { idempotency_key: 's' }));
  await intake.handle(messageOf({ prompt: 'x' }, { 'ce-source': 's', 'ce-id': 'i' }));
  await intake.handle(messageOf({ prompt: 'x' }, {}, { id: 'i' }));
  assert.equal((await jobsOf('default')).length, 3);
});

test('the same key with another body is poison, and the first job stays as it is', async () => {
  const { intake, jobsOf } = intakeOf();
  await intake.handle(messageOf({ prompt: 'one' }, { idempotency_key: 'k' }));
  assertPoison(await intake.handle(messageOf({ prompt: 'two' }, { idempotency_key: 'k' })), 'idempotency_key_reused');
  assert.deepEqual(
    (await jobsOf('default')).map(({ spec }) => spec.prompt),
    ['one'],
  );
});

const refusals: readonly [string, IncomingMessage, ErrorCode][] = [
  ['of an unknown tenant', messageOf({ prompt: 'x' }, { tenant: 'nobody' }), 'forbidden'],
  ['that is not JSON', messageOf('{'), 'invalid_json'],
  ['that is not UTF-8', messageOf(Uint8Array.of(0xff, 0xfe)), 'invalid_json'],
  ['that is empty', messageOf(''), 'invalid_json'],
  ['that is a list', messageOf([]), 'invalid_json'],
  ['without a prompt', messageOf({}), 'invalid_request'],
  ['with a field that nobody knows', messageOf({ prompt: 'x', promt: 'y' }), 'invalid_request'],
  ['of another type', messageOf({ prompt: 'x' }, { 'content-type': 'application/xml' }), 'unsupported_media_type'],
  ['that is too large', messageOf({ prompt: 'x'.repeat(20_000) }), 'payload_too_large'],
  ['nested for its own sake', messageOf(`${'['.repeat(4_000)}${']'.repeat(4_000)}`), 'invalid_json'],
  ['with half of the id of an event', messageOf({ prompt: 'x' }, { 'ce-id': 'e' }), 'invalid_request'],
  ['with an empty key', messageOf({ prompt: 'x' }, { idempotency_key: '' }), 'invalid_request'],
  [
    'of another CloudEvents',
    messageOf({ prompt: 'x' }, { 'ce-specversion': '0.3', 'ce-id': 'e', 'ce-source': 's' }),
    'invalid_request',
  ],
  [
    'that is an event without data',
    messageOf({ specversion: '1.0', id: 'e', source: 's' }, { 'content-type': 'application/cloudevents+json' }),
    'invalid_request',
  ],
];

for (const [what, message, code] of refusals) {
  test(`a message ${what} is poison, with its reason`, async () => {
    const { intake, jobsOf, metrics } = intakeOf();
    assertPoison(await intake.handle(message), code);
    assert.deepEqual(await jobsOf('default'), []);
    assert.match((await metrics.render()).body, /codex_fleet_messages_total\{outcome="refused"\} 1/);
  });
}

test('the reason of what is poison names the field and never the prompt', async () => {
  const { intake } = intakeOf();
  const answer = await intake.handle(messageOf({ prompt: 'a secret', timeout_ms: 'soon' }));
  assertPoison(answer, 'invalid_request');
  assert.match(JSON.stringify(answer), /timeout_ms/);
  assert.doesNotMatch(JSON.stringify(answer), /a secret/);
});

for (const code of ['store_unavailable', 'storage_full', 'too_many_jobs'] as const) {
  test(`while records answer ${code}, a message comes later`, async () => {
    const fails = async (): Promise<never> => {
      throw new ServiceError(code);
    };
    const { intake, metrics } = intakeOf({ jobs: { get: async () => null, countOpen: async () => 0, create: fails } });
    assert.deepEqual(await intake.handle(messageOf({ prompt: 'x' })), { outcome: 'later' });
    assert.match((await metrics.render()).body, /codex_fleet_messages_total\{outcome="put_back"\} 1/);
  });
}

test('a tenant with too many open jobs gets no more of them, and a copy of one that it has is done', async () => {
  const { intake, jobsOf } = intakeOf({ maxOpenPerTenant: 1 });
  const first = messageOf({ prompt: 'one' });
  await intake.handle(first);
  assert.deepEqual(await intake.handle(messageOf({ prompt: 'two' })), { outcome: 'later' });
  assert.deepEqual(await intake.handle(first), { outcome: 'done' });
  assert.equal((await jobsOf('default')).length, 1);
});

test('of two that create the same job at once, both are done and one job is there', async () => {
  const { intake, jobsOf } = intakeOf();
  const attributes = { idempotency_key: 'k' };
  const answers = await Promise.all([1, 2, 3].map(() => intake.handle(messageOf({ prompt: 'x' }, attributes))));
  assert.deepEqual(
    answers.map(({ outcome }) => outcome),
    ['done', 'done', 'done'],
  );
  assert.equal((await jobsOf('default')).length, 1);
});

test('a defect of ours is not blamed on the message', async () => {
  const { intake } = intakeOf({
    readJob: () => {
      throw new TypeError('a defect');
    },
  });
  await assert.rejects(intake.handle(messageOf({ prompt: 'x' })), TypeError);
});
