import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { deliveryRecord } from '../../testing/stored-records.ts';
import { bodyOf, topicMessageOf } from './delivery-message.ts';
import { signatureHeaders } from './signature.ts';

const newSecret = (): string => `whsec_${randomBytes(32).toString('base64')}`;
const message = { id: 'd1', sentAtMs: Date.now(), body: '{"type":"turn.completed","data":{"title":"déjà vu"}}' };

test('a signature is good to whoever checks it by the standard, with the secret and the whole message', () => {
  const secret = newSecret();
  const headers = signatureHeaders(message, [secret]);
  assert.deepEqual(new Webhook(secret).verify(message.body, headers), JSON.parse(message.body));
  assert.throws(() => new Webhook(newSecret()).verify(message.body, headers));
  assert.throws(() => new Webhook(secret).verify(`${message.body} `, headers));
  assert.throws(() => new Webhook(secret).verify(message.body, { ...headers, 'webhook-id': 'd2' }));
  const stale = signatureHeaders({ ...message, sentAtMs: message.sentAtMs - 3_600_000 }, [secret]);
  assert.throws(() => new Webhook(secret).verify(message.body, stale), /too old/);
});

test('while a secret is replaced both sign', () => {
  const secrets = [newSecret(), newSecret()];
  const headers = signatureHeaders(message, secrets);
  assert.equal(headers['webhook-signature']?.split(' ').length, 2);
  for (const secret of secrets) new Webhook(secret).verify(message.body, headers);
});

test('a body says what happened and when, with the data byte for byte', () => {
  const delivery = deliveryRecord({ type: 'job.failed', noticeAt: Date.UTC(2026, 0, 2), data: '{"b":1.0,"a":[]}' });
  assert.equal(
    bodyOf(delivery),
    '{"type":"job.failed","timestamp":"2026-01-02T00:00:00.000Z","data":{"b":1.0,"a":[]}}',
  );
});

test('a message of the topic carries the attributes of CloudEvents, and is ordered with its lane', () => {
  const delivery = deliveryRecord({
    tenant: 'acme/north',
    id: 'd1',
    target: { kind: 'topic', id: 'topic' },
    lane: 'topic/turn-1',
    noticeAt: Date.UTC(2026, 0, 2),
  });
  const { attributes, data, orderingKey } = topicMessageOf(delivery);
  assert.equal(new TextDecoder().decode(data), bodyOf(delivery));
  assert.equal(orderingKey, 'acme/north/topic/turn-1');
  assert.deepEqual(attributes, {
    'ce-specversion': '1.0',
    'ce-id': 'd1',
    'ce-source': '/codex-fleet/tenants/acme%2Fnorth',
    'ce-type': 'codex.fleet.turn.completed',
    'ce-time': '2026-01-02T00:00:00.000Z',
    'ce-subject': 'turn-1',
    'content-type': 'application/json',
    tenant: 'acme/north',
  });
});
