// Writes for each notice one delivery to everybody who wants it. Does not deliver: what is on record is found by
// whoever leads. All receivers are looked up when a notice comes, so that none that was there before is left out.

import { createHash } from 'node:crypto';
import type { Outbox } from '../../contracts/outbox.ts';
import type { Page, Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import { idOfDigest, type TenantId } from '../../core/ids.ts';
import {
  type DeliveryTarget,
  newDelivery,
  type Notice,
  testNoticeType,
  wantsNotice,
  type WebhookRecord,
} from '../../core/webhook.ts';
import { FreshReads } from './fresh-reads.ts';
import { Gate } from './gate.ts';

export type RecordOutboxParts = {
  readonly records: {
    readonly webhooks: Pick<Records['webhooks'], 'list'>;
    readonly deliveries: Pick<Records['deliveries'], 'create'>;
    readonly jobs: Pick<Records['jobs'], 'get'>;
  };
  /** Whether the fleet has a topic that everything is published to. */
  readonly topic: boolean;
  readonly clock: Clock;
  /** Something is on record that is due now: for the loop of the same process, if it has one. */
  readonly onPut?: () => void;
};

/** Whoever makes a resource cuts it to much less. */
const mostDataBytes = 256 * 1024;
const mostPending = 1_000;
const mostWritesAtOnce = 64;
const pageSize = 100;

export class RecordOutbox implements Outbox {
  readonly #parts: RecordOutboxParts;
  readonly #webhooks: FreshReads<TenantId, readonly WebhookRecord[]>;
  /** The last that is being written of each notice's lane. */
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #gate = new Gate(mostWritesAtOnce);
  #pending = 0;

  constructor(parts: RecordOutboxParts) {
    this.#parts = parts;
    this.#webhooks = new FreshReads((tenant) => this.#webhooksOf(tenant));
  }

  async put(notices: readonly Notice[]): Promise<void> {
    if (notices.length === 0) return;
    for (const { data, type } of notices) assertFits(data, type);
    if (this.#pending + notices.length > mostPending && this.#pending > 0)
      throw new ServiceError('store_unavailable', { reason: 'too many notices wait to be written' });
    this.#pending += notices.length;
    try {
      const results = await Promise.allSettled(notices.map((notice) => this.#inLane(notice)));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    } finally {
      this.#pending -= notices.length;
      this.#parts.onPut?.();
    }
  }

  /** One that could not be written holds back those behind it: said again in order, they arrive in order. */
  async #inLane(notice: Notice): Promise<void> {
    const lane = JSON.stringify([notice.tenant, notice.lane]);
    const reading = this.#webhooks.get(notice.tenant);
    // It may fail while the one before is still written.
    reading.catch(() => {});
    const before = this.#lanes.get(lane) ?? Promise.resolve();
    const writing = before.then(async () => this.#write(notice, await reading));
    this.#lanes.set(lane, writing);
    try {
      await writing;
    } finally {
      if (this.#lanes.get(lane) === writing) this.#lanes.delete(lane);
    }
  }

  async #write(notice: Notice, webhooks: readonly WebhookRecord[]): Promise<void> {
    const { clock, records } = this.#parts;
    const targets: DeliveryTarget[] = webhooks
      .filter((webhook) => wantsNotice(webhook, notice))
      .map(({ id }) => ({ kind: 'webhook', id }));
    if (await this.#hasReceiverOfItsOwn(notice)) targets.push({ kind: 'job', id: notice.lane });
    if (this.#parts.topic && notice.type !== testNoticeType) targets.push({ kind: 'topic', id: 'topic' });
    const nowMs = clock.now();
    const results = await Promise.allSettled(
      targets.map((target) => {
        const delivery = newDelivery(notice, target, deliveryId(notice, target), nowMs);
        return this.#gate.pass(() => records.deliveries.create(delivery));
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #hasReceiverOfItsOwn({ lane, tenant, type }: Notice): Promise<boolean> {
    if (!type.startsWith('job.')) return false;
    const job = await this.#parts.records.jobs.get(tenant, lane);
    return job !== null && job.spec.webhook !== null;
  }

  async #webhooksOf(tenant: TenantId): Promise<readonly WebhookRecord[]> {
    const all: WebhookRecord[] = [];
    for (let after: string | null = null, hasMore = true; hasMore; ) {
      const page: Page<WebhookRecord> = await this.#parts.records.webhooks.list(tenant, {
        after,
        limit: pageSize,
        order: 'asc',
      });
      all.push(...page.data);
      after = page.data.at(-1)?.id ?? null;
      hasMore = page.hasMore && after !== null;
    }
    return all;
  }
}

/** The same for the same notice and target, whoever says it and however often. */
export function deliveryId({ identity }: Pick<Notice, 'identity'>, { id, kind }: DeliveryTarget): string {
  return idOfDigest(
    createHash('sha256')
      .update(JSON.stringify([kind, id, identity]))
      .digest(),
  );
}

function assertFits(data: string, type: string): void {
  const bytes = Buffer.byteLength(data);
  if (bytes <= mostDataBytes) return;
  throw new ServiceError('internal', { type, bytes }, { message: 'what a notice tells is larger than it may be' });
}
