// /api/v1/webhooks: endpoints that are told of what happens, and what they were told. Sending is done elsewhere:
// here a delivery is put on record.

import type * as z from 'zod';
import { toList, type ListOf } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { assertReceiverUrl } from '../../api/receiver-url.ts';
import {
  type deliveriesQuerySchema,
  defaultOverlapMs,
  type DeliveryResource,
  patchedWebhook,
  toDeliveryDetail,
  toDeliveryResource,
  toWebhookResource,
  toWebhookWithSecret,
} from '../../api/webhooks.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintId, type TenantId } from '../../core/ids.ts';
import {
  type DeliveryRecord,
  disabledWebhook,
  newDelivery,
  type Notice,
  replayedDelivery,
  testNoticeType,
  type WebhookRecord,
} from '../../core/webhook.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import { changeRecord } from '../change-record.ts';
import { eraseWithDeliveries } from '../erase-deliveries.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { makeWithinLimit } from '../tenant-limit.ts';
import { mintWebhookSecret } from '../webhook-secret.ts';

/** Of one webhook, when more is asked for by a client: what happens is put on record without regard to it. */
const mostPending = 100;
/** Each signs what is sent, in one header. */
const mostSecrets = 5;

function webhookPath(id: string): string {
  return `/api/v1/webhooks/${id}`;
}

export function registerWebhooks(gear: Gear, { app }: HttpServer): void {
  const { clock, keyOrder, limits, receivers, records } = gear;

  registerOperation(app, gear, operations.createWebhook, async ({ body, request, reply }) => {
    const { name, tenant } = principalOf(request);
    if (gear.isStorageLow()) throw new ServiceError('storage_full');
    assertReceiverUrl(body.url, receivers);
    const draft: WebhookRecord = {
      tenant,
      id: mintId(),
      revision: 1,
      url: body.url,
      secrets: [{ secret: mintWebhookSecret(), endsAt: null }],
      types: body.events ?? null,
      description: body.description ?? null,
      disabled: body.disabled === true ? 'user' : null,
      failingSince: null,
      createdBy: name,
      createdAt: clock.now(),
    };
    const list = records.webhooks.list.bind(records.webhooks, tenant);
    const limited = { tenant, kind: 'webhook', limit: limits.maxWebhooks, list } as const;
    const { record } = await makeWithinLimit(keyOrder, limited, () => records.webhooks.create(draft));
    reply.code(201).header('location', webhookPath(record.id));
    return toWebhookWithSecret(record);
  });

  registerOperation(app, gear, operations.listWebhooks, async ({ query, request }) => {
    const { after = null, limit, order } = query;
    const page = await records.webhooks.list(principalOf(request).tenant, { after, limit, order });
    return toList(page.data.map(toWebhookResource), page.hasMore);
  });

  registerOperation(app, gear, operations.getWebhook, async ({ params, request }) =>
    toWebhookResource(await requireWebhook(gear, principalOf(request).tenant, params.webhook_id)),
  );

  registerOperation(app, gear, operations.patchWebhook, async ({ params, body, request }) => {
    const { tenant } = principalOf(request);
    if (body.url !== undefined) assertReceiverUrl(body.url, receivers);
    const webhook = await changeRecord(
      records.webhooks,
      () => requireWebhook(gear, tenant, params.webhook_id),
      (standing) => patchedWebhook(standing, body),
    );
    return toWebhookResource(webhook);
  });

  registerOperation(app, gear, operations.deleteWebhook, async ({ params, request }) => {
    const { tenant } = principalOf(request);
    // Nothing more is to be written for it while what was is removed; whoever asks again goes on.
    const { id } = await changeRecord(
      records.webhooks,
      () => requireWebhook(gear, tenant, params.webhook_id),
      (standing) => disabledWebhook(standing, 'user'),
    );
    await eraseWithDeliveries(gear, tenant, { targetId: id }, () => records.webhooks.erase(tenant, id));
    return { id, object: 'webhook', deleted: true };
  });

  registerOperation(app, gear, operations.rotateWebhookSecret, async ({ params, body, request }) => {
    const { tenant } = principalOf(request);
    const secret = mintWebhookSecret();
    const webhook = await changeRecord(
      records.webhooks,
      () => requireWebhook(gear, tenant, params.webhook_id),
      (standing) => withNewSecret(standing, secret, body?.overlap_ms ?? defaultOverlapMs, clock.now()),
    );
    return toWebhookWithSecret(webhook);
  });

  registerOperation(app, gear, operations.testWebhook, async ({ params, request, reply }) => {
    const { id: webhookId, tenant } = await requireWebhook(gear, principalOf(request).tenant, params.webhook_id);
    const id = mintId();
    const nowMs = clock.now();
    const data = JSON.stringify({ id: webhookId, object: 'webhook' });
    const notice: Notice = {
      tenant,
      identity: id,
      lane: `test/${id}`,
      order: 0,
      sessionId: null,
      jobId: null,
      type: testNoticeType,
      at: nowMs,
      data,
    };
    const delivery = newDelivery(notice, { kind: 'webhook', id: webhookId }, id, nowMs);
    reply.code(202).header('location', deliveryPath(delivery));
    return toDeliveryResource(await recordDelivery(gear, delivery));
  });

  registerOperation(app, gear, operations.listDeliveries, async ({ params, query, request }) => {
    const { id, tenant } = await requireWebhook(gear, principalOf(request).tenant, params.webhook_id);
    return readDeliveryPage(gear, tenant, id, query);
  });

  registerOperation(app, gear, operations.getDelivery, async ({ params, request }) =>
    toDeliveryDetail(await requireDelivery(gear, principalOf(request).tenant, params)),
  );

  registerOperation(app, gear, operations.replayDelivery, async ({ params, request, reply }) => {
    const told = await requireDelivery(gear, principalOf(request).tenant, params);
    const delivery = replayedDelivery(told, mintId(), clock.now());
    reply.code(202).header('location', deliveryPath(delivery));
    return toDeliveryResource(await recordDelivery(gear, delivery));
  });
}

/** Of a webhook, or of a job's own receiver. */
export async function readDeliveryPage(
  { records }: Pick<Gear, 'records'>,
  tenant: TenantId,
  targetId: string,
  query: z.output<typeof deliveriesQuerySchema>,
): Promise<ListOf<DeliveryResource>> {
  const { after = null, limit, order, status = null } = query;
  const page = await records.deliveries.list(tenant, { targetId, status }, { after, limit, order });
  return toList(page.data.map(toDeliveryResource), page.hasMore);
}

async function requireWebhook(
  { records }: Pick<Gear, 'records'>,
  tenant: TenantId,
  id: string,
): Promise<WebhookRecord> {
  const webhook = await records.webhooks.get(tenant, id);
  if (webhook === null) throw new ServiceError('webhook_not_found', { webhook_id: id });
  return webhook;
}

async function requireDelivery(
  gear: Pick<Gear, 'records'>,
  tenant: TenantId,
  { delivery_id: id, webhook_id }: { readonly webhook_id: string; readonly delivery_id: string },
): Promise<DeliveryRecord> {
  const webhook = await requireWebhook(gear, tenant, webhook_id);
  const delivery = await gear.records.deliveries.get(tenant, id);
  const isOfIt = delivery?.target.kind === 'webhook' && delivery.target.id === webhook.id;
  if (delivery === null || !isOfIt) throw new ServiceError('delivery_not_found', { delivery_id: id });
  return delivery;
}

async function recordDelivery(
  { isStorageLow, records }: Pick<Gear, 'records' | 'isStorageLow'>,
  delivery: DeliveryRecord,
): Promise<DeliveryRecord> {
  if (isStorageLow()) throw new ServiceError('storage_full');
  const { target, tenant } = delivery;
  const waiting = await records.deliveries.list(
    tenant,
    { targetId: target.id, status: 'pending' },
    { after: null, limit: mostPending, order: 'asc' },
  );
  if (waiting.data.length >= mostPending) {
    const message = `${mostPending} deliveries to this webhook wait already. Wait until some have ended.`;
    throw new ServiceError('limit_reached', { limit: mostPending }, { message });
  }
  return (await records.deliveries.create(delivery)).record;
}

function deliveryPath({ id, target }: DeliveryRecord): string {
  return `${webhookPath(target.id)}/deliveries/${id}`;
}

/** Those before it go on signing for a while, none for longer than it was to before. */
function withNewSecret(webhook: WebhookRecord, secret: string, overlapMs: number, nowMs: number): WebhookRecord {
  const endsAt = nowMs + overlapMs;
  const before = webhook.secrets
    .map((old) => ({ ...old, endsAt: Math.min(old.endsAt ?? Infinity, endsAt) }))
    .filter((old) => old.endsAt > nowMs);
  if (before.length >= mostSecrets) {
    const message = `${mostSecrets} secrets sign already. Wait until one has ended, or end them with overlap_ms 0.`;
    throw new ServiceError('limit_reached', { limit: mostSecrets }, { message });
  }
  return { ...webhook, secrets: [{ secret, endsAt: null }, ...before] };
}
