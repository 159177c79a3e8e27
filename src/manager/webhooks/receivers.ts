// Where a target is and how it fares: reads webhooks and jobs, remembers them for a moment, and writes into a
// webhook since when nothing has arrived there, and that nothing more is sent.

import type { Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import type { TenantId } from '../../core/ids.ts';
import {
  type DeliveryTarget,
  type DisabledReason,
  disabledWebhook,
  failingWebhook,
  isHopeless,
  recoveredWebhook,
  signingSecrets,
  type WebhookRecord,
} from '../../core/webhook.ts';
import type { Logger } from '../../observability/logger.ts';
import { failuresUntilProbed, type ReceiverState } from './lane-book.ts';

export type Receiver =
  | { readonly kind: 'http'; readonly url: string; readonly secrets: readonly string[]; readonly webhook: boolean }
  | { readonly kind: 'topic' }
  /** Nothing is sent there any more. */
  | { readonly kind: 'none'; readonly reason: string };

export type ReceiversParts = {
  readonly records: {
    readonly webhooks: Pick<Records['webhooks'], 'get' | 'replace'>;
    readonly jobs: Pick<Records['jobs'], 'get'>;
  };
  readonly hasTopic: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A secret that was replaced, a URL that was changed: known everywhere after this. */
const rememberedMs = 2_000;
const mostRemembered = 10_000;
const mostTries = 4;

type Known = { readonly readAtMs: number; readonly webhook: WebhookRecord | null };

export class Receivers {
  readonly #parts: ReceiversParts;
  readonly #webhooks = new Map<string, Known>();

  constructor(parts: ReceiversParts) {
    this.#parts = parts;
  }

  async find(tenant: TenantId, { id, kind }: DeliveryTarget): Promise<Receiver> {
    const { clock, hasTopic, records } = this.#parts;
    switch (kind) {
      case 'topic':
        return hasTopic ? { kind } : { kind: 'none', reason: 'there is no topic any more' };
      case 'webhook': {
        const webhook = await this.#webhook(tenant, id);
        if (webhook === null) return { kind: 'none', reason: 'the webhook was removed' };
        if (webhook.disabled !== null) return { kind: 'none', reason: disabledWords[webhook.disabled] };
        return { kind: 'http', url: webhook.url, secrets: signingSecrets(webhook, clock.now()), webhook: true };
      }
      case 'job': {
        const own = (await records.jobs.get(tenant, id))?.spec.webhook ?? null;
        if (own === null) return { kind: 'none', reason: 'the job was removed' };
        return { kind: 'http', url: own.url, secrets: [own.secret], webhook: false };
      }
    }
  }

  /** Of a webhook. Written only where it was said to fail. */
  async arrived(tenant: TenantId, id: string): Promise<void> {
    if ((await this.#webhook(tenant, id))?.failingSince === null) return;
    await this.#change(tenant, id, recoveredWebhook);
  }

  /**
   * Of a webhook. That it fails is written when it has failed several times, that it is disabled when nothing
   * arrived for a day; `attempts`: of the delivery that failed now, which earlier runs may have tried.
   */
  async failed(receiver: ReceiverState, id: string, attempts: number): Promise<void> {
    const { tenant } = receiver;
    if (Math.max(receiver.failures, attempts) < failuresUntilProbed) return;
    const webhook = await this.#webhook(tenant, id);
    if (webhook === null || webhook.disabled !== null) return;
    const { clock } = this.#parts;
    const sinceMs = receiver.failingSince ?? clock.now();
    if (webhook.failingSince === null) await this.#change(tenant, id, (found) => failingWebhook(found, sinceMs));
    else if (receiver.arrivedAt !== null && receiver.arrivedAt > webhook.failingSince) {
      // It could not be written when something arrived.
      await this.#change(tenant, id, recoveredWebhook);
    } else if (isHopeless(webhook, clock.now())) {
      await this.#disable(tenant, id, 'failing', (found) => isHopeless(found, clock.now()));
    }
  }

  async gone(tenant: TenantId, id: string): Promise<void> {
    await this.#disable(tenant, id, 'gone', () => true);
  }

  async #disable(
    tenant: TenantId,
    id: string,
    reason: DisabledReason,
    isDue: (webhook: WebhookRecord) => boolean,
  ): Promise<void> {
    const written = await this.#change(tenant, id, (found) => (isDue(found) ? disabledWebhook(found, reason) : null));
    if (written?.disabled !== reason) return;
    this.#parts.logger.warn(
      { event: 'webhook_disabled', reason, webhook_id: id, tenant },
      'a webhook was disabled; nothing more is sent there',
    );
  }

  /** null where nothing was to be changed. */
  async #change(
    tenant: TenantId,
    id: string,
    step: (webhook: WebhookRecord) => WebhookRecord | null,
  ): Promise<WebhookRecord | null> {
    const { webhooks } = this.#parts.records;
    for (let tries = 0; tries < mostTries; tries++) {
      const found = await webhooks.get(tenant, id);
      const next = found === null ? null : step(found);
      const written = next === null ? null : await webhooks.replace(next);
      if (next !== null && written === null) continue;
      this.#remember(tenant, id, written ?? found);
      return written;
    }
    return null;
  }

  async #webhook(tenant: TenantId, id: string): Promise<WebhookRecord | null> {
    const { clock, records } = this.#parts;
    const known = this.#webhooks.get(keyOf(tenant, id));
    if (known !== undefined && clock.monotonicMs() - known.readAtMs < rememberedMs) return known.webhook;
    const webhook = await records.webhooks.get(tenant, id);
    this.#remember(tenant, id, webhook);
    return webhook;
  }

  #remember(tenant: TenantId, id: string, webhook: WebhookRecord | null): void {
    if (this.#webhooks.size >= mostRemembered) this.#webhooks.clear();
    this.#webhooks.set(keyOf(tenant, id), { readAtMs: this.#parts.clock.monotonicMs(), webhook });
  }
}

const disabledWords: Readonly<Record<DisabledReason, string>> = {
  user: 'the webhook was disabled',
  failing: 'the webhook was disabled: nothing had arrived for a day',
  gone: 'the webhook was disabled: it answered 410',
};

function keyOf(tenant: TenantId, id: string): string {
  return JSON.stringify([tenant, id]);
}
