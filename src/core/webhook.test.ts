import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryRecord, webhookRecord } from '../testing/stored-records.ts';
import {
  abandonedDelivery,
  attemptedDelivery,
  deliveryPatienceMs,
  type DeliveryRecord,
  failingWebhook,
  isHopeless,
  keptDeliveryAttempts,
  newDelivery,
  redeliveryDelayMs,
  replayedDelivery,
  signingSecrets,
  targetIdOfLane,
  wantsNotice,
} from './webhook.ts';

const failed = { at: 0, durationMs: 1, httpStatus: 500, error: 'refused' };
const arrived = { at: 0, durationMs: 1, httpStatus: 204, error: null };
const delivery = deliveryRecord({ createdAt: 0, dueAt: 0, giveUpAt: deliveryPatienceMs });

test('a delivery that fails again and again is tried for a whole day, at the end of it for the last time', () => {
  const triedAtHours: number[] = [];
  let standing: DeliveryRecord = delivery;
  for (let nowMs = 0; standing.dueAt !== null; ) {
    nowMs = standing.dueAt;
    triedAtHours.push(Math.round((100 * nowMs) / 3_600_000) / 100);
    standing = attemptedDelivery(standing, failed, nowMs, 0.5);
  }
  assert.deepEqual(triedAtHours.slice(0, 5), [0, 0, 0.01, 0.04, 0.21]);
  assert.deepEqual(triedAtHours.slice(-2), [23.71, 24]);
  assert.equal(standing.status, 'failed');
  assert.equal(standing.endedAt, deliveryPatienceMs);
  assert.equal(standing.attemptCount, triedAtHours.length);
});

test('delays grow, with a tenth more or less by chance, and none is longer than four hours and a half', () => {
  const middle = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((failures) => redeliveryDelayMs(failures, 0.5) / 1_000);
  assert.deepEqual(middle, [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 14_400]);
  assert.deepEqual([redeliveryDelayMs(1, 0), redeliveryDelayMs(1, 1)], [4_500, 5_500]);
});

test('a receiver that names a time is not asked before it, nor sooner than without', () => {
  const wish = (retryAfterMs: number): number | null =>
    attemptedDelivery(delivery, failed, 1_000, 0.5, { retryAfterMs, isFinal: false }).dueAt;
  assert.deepEqual([wish(0), wish(60_000)], [6_000, 61_000]);
});

test('an answer that is final ends it at once, one of success always', () => {
  const final = attemptedDelivery(delivery, failed, 5, 0.5, { retryAfterMs: null, isFinal: true });
  assert.deepEqual([final.status, final.dueAt, final.endedAt], ['failed', null, 5]);
  const late = attemptedDelivery(delivery, arrived, 2 * deliveryPatienceMs, 0.5);
  assert.deepEqual([late.status, late.dueAt], ['delivered', null]);
});

test('the last attempts are kept and all are counted; why nothing was sent is told and not counted', () => {
  let standing: DeliveryRecord = delivery;
  for (let number = 1; number <= keptDeliveryAttempts + 5; number++)
    standing = attemptedDelivery(standing, { ...failed, at: number }, number, 0.5);
  assert.equal(standing.attempts.length, keptDeliveryAttempts);
  assert.deepEqual([standing.attempts[0]?.at, standing.attemptCount], [6, 25]);
  const abandoned = abandonedDelivery(standing, 'the webhook was removed', 99);
  assert.deepEqual([abandoned.attempts.at(-1)?.error, abandoned.attemptCount], ['the webhook was removed', 25]);
  assert.deepEqual([abandoned.status, abandoned.dueAt, abandoned.endedAt], ['failed', null, 99]);
});

test('a replay says the same under another id, in a lane of its own of the same receiver', () => {
  const notice = {
    tenant: 'acme',
    identity: 'i',
    lane: 'turn',
    order: 3,
    sessionId: 'session',
    jobId: 'job',
    type: 'turn.failed',
    at: 7,
    data: '{"a":1}',
  } as const;
  const first = newDelivery(notice, { kind: 'webhook', id: 'hook' }, 'first', 10);
  const again = replayedDelivery({ ...first, status: 'delivered', endedAt: 11, dueAt: null }, 'again', 20);
  assert.equal(first.lane, 'hook/turn');
  assert.notEqual(again.lane, first.lane);
  assert.equal(targetIdOfLane(again.lane), 'hook');
  const { data, dueAt, giveUpAt, jobId, noticeAt, replayOf, sessionId, status, type } = again;
  assert.deepEqual(
    { data, dueAt, giveUpAt, jobId, noticeAt, replayOf, sessionId, status, type },
    {
      sessionId: 'session',
      jobId: 'job',
      data: '{"a":1}',
      dueAt: 20,
      giveUpAt: 20 + deliveryPatienceMs,
      noticeAt: 7,
      replayOf: 'first',
      status: 'pending',
      type: 'turn.failed',
    },
  );
});

test('a webhook wants the types that it names, all where it names none, and nothing while it is disabled', () => {
  const about = (type: 'turn.failed' | 'webhook.test', lane = 'turn'): { lane: string; type: typeof type } => ({
    lane,
    type,
  });
  assert.ok(wantsNotice(webhookRecord(), about('turn.failed')));
  assert.ok(wantsNotice(webhookRecord({ types: ['turn.failed'] }), about('turn.failed')));
  assert.ok(!wantsNotice(webhookRecord({ types: ['job.failed'] }), about('turn.failed')));
  assert.ok(!wantsNotice(webhookRecord({ disabled: 'user' }), about('turn.failed')));
  assert.ok(wantsNotice(webhookRecord({ id: 'a', types: ['job.failed'] }), about('webhook.test', 'a')));
  assert.ok(!wantsNotice(webhookRecord({ id: 'b' }), about('webhook.test', 'a')));
});

test('a replaced secret signs until its time is over, the newest always', () => {
  const secrets = [
    { secret: 'new', endsAt: null },
    { secret: 'old', endsAt: 100 },
  ];
  assert.deepEqual(signingSecrets({ secrets }, 99), ['new', 'old']);
  assert.deepEqual(signingSecrets({ secrets }, 100), ['new']);
});

test('a webhook is hopeless a day after nothing arrived any more', () => {
  const failing = failingWebhook(webhookRecord(), 1_000);
  assert.equal(failing?.failingSince, 1_000);
  assert.equal(failingWebhook(failing, 2_000), null);
  assert.ok(!isHopeless(failing, 999 + deliveryPatienceMs));
  assert.ok(isHopeless(failing, 1_000 + deliveryPatienceMs));
  assert.ok(!isHopeless(webhookRecord(), Number.MAX_SAFE_INTEGER));
});
