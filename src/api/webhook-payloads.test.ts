import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noticeTypes } from '../core/webhook.ts';
import { jobRecord, sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { toJobNotice } from './jobs.ts';
import { openApiDocument } from './openapi.ts';
import { toSessionResource } from './sessions.ts';
import { jobNoticeSchema, noticePayloads, turnNoticeSchema } from './webhook-payloads.ts';
import { toTurnNotice } from './webhooks.ts';

const timestamp = '2026-11-23T12:00:00.000Z';

test('what is told of a turn and of a job is what the document says, field by field', () => {
  const turn = toTurnNotice(turnRecord({ status: 'completed', finalMessage: 'x'.repeat(100_000), endedAt: 1 }), 2);
  assert.deepEqual(Object.keys(turn).sort(), Object.keys(turnNoticeSchema.shape).sort());
  assert.deepEqual(Object.keys(toJobNotice(jobRecord())).sort(), Object.keys(jobNoticeSchema.shape).sort());
  const told = { 'turn.completed': turn, 'job.completed': toJobNotice(jobRecord()) };
  for (const [type, data] of Object.entries(told)) {
    const payload = noticePayloads.find((one) => one.type === type);
    assert.equal(payload?.schema.safeParse({ type, timestamp, data }).success, true, type);
  }
});

test('a body of one type is not one of another', () => {
  const data = toSessionResource(sessionRecord());
  const fits = (type: string): boolean =>
    noticePayloads.find((one) => one.type === type)?.schema.safeParse({ type, timestamp, data }).success === true;
  assert.deepEqual([fits('session.created'), fits('turn.completed'), fits('job.failed')], [true, false, false]);
});

test('the document has a webhook for each type', () => {
  const { webhooks } = openApiDocument('1.0.0');
  assert.deepEqual(Object.keys(webhooks as object), [...noticeTypes]);
});

test('of a session that was erased nothing is told but that it was', () => {
  const type = 'session.deleted';
  const data = { id: '019f0000-0000-7000-8000-000000000001', object: 'session' };
  const fits = (told: object): boolean =>
    noticePayloads.find((one) => one.type === type)?.schema.safeParse({ type, timestamp, data: told }).success === true;
  assert.deepEqual([fits({ ...data, deleted: true }), fits(data)], [true, false]);
});
