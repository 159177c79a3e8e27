// One delivery: the first of its lane is sent, and what came of it is recorded. Two leaders may do this at once:
// then it is sent twice, and an arrival is never overwritten by a failure.

import type { EventTopic } from '../../contracts/message-source.ts';
import type { Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import {
  abandonedDelivery,
  attemptedDelivery,
  type DeliveryAttempt,
  type DeliveryRecord,
  type DeliveryWish,
} from '../../core/webhook.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { bodyOf, topicMessageOf } from './delivery-message.ts';
import type { Lane, LaneBook } from './lane-book.ts';
import type { Receiver, Receivers } from './receivers.ts';
import { signatureHeaders } from './signature.ts';
import type { SendResult, WebhookSender } from './webhook-sender.ts';

export type DeliveryDeskParts = {
  readonly records: {
    readonly deliveries: Pick<Records['deliveries'], 'get' | 'list' | 'listLane' | 'replace'>;
  };
  readonly book: Pick<LaneBook, 'arrived' | 'failed' | 'share'>;
  readonly receivers: Receivers;
  readonly sender: Pick<WebhookSender, 'send'>;
  /** null: the fleet publishes to none. */
  readonly topic: Pick<EventTopic, 'publish'> | null;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'deliveries' | 'deliveryLagSeconds'>;
  readonly settings: { readonly timeoutMs: number };
  /** Asked right before something is sent. */
  readonly isStopping: () => boolean;
};

/** When to look at the lane again; by the monotonic clock. */
export type NextLook = number | 'at once' | 'when seen';

/** A store that is away for a moment, after something has arrived: better late on record than sent once more. */
const recordDelaysMs = [250, 500, 1_000, 2_000, 4_000, 8_000] as const;
const pageSize = 100;
/** Of a receiver that is no more, in one look: each is a write. */
const mostAbandoned = 1_000;
/** The records were not to be had, or it stops. */
const laterMs = 2_000;

type Attempt = { readonly attempt: DeliveryAttempt; readonly wish: DeliveryWish };

export class DeliveryDesk {
  readonly #parts: DeliveryDeskParts;
  readonly #abandoning = new Map<string, Promise<NextLook>>();
  #isFailureTold = false;

  constructor(parts: DeliveryDeskParts) {
    this.#parts = parts;
  }

  /** At most one delivery of the lane is sent. Never rejects. */
  async look(lane: Lane, signal: AbortSignal): Promise<NextLook> {
    const { clock, logger } = this.#parts;
    try {
      const next = await this.#look(lane, signal);
      this.#isFailureTold = false;
      return next;
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn(
          { event: 'delivery_not_possible', err: error },
          'deliveries could not be looked after; later again',
        );
      this.#isFailureTold = true;
      return clock.monotonicMs() + laterMs;
    }
  }

  async #look(lane: Lane, signal: AbortSignal): Promise<NextLook> {
    const { book, clock, isStopping, receivers, records } = this.#parts;
    // Asked each time: the one that is first now may have been told of only just.
    const [first] = await records.deliveries.listLane(lane.tenant, lane.name, 1);
    if (first === undefined) return 'when seen';
    const receiver = await receivers.find(first.tenant, first.target);
    if (receiver.kind === 'none') return await this.#abandonAll(first, receiver.reason, signal);
    const inMs = (first.dueAt ?? 0) - clock.now();
    if (inMs > 0) return clock.monotonicMs() + inMs;
    if (receiver.kind === 'http' && !receiver.webhook) {
      const next = book.share(lane, new URL(receiver.url).origin, clock.monotonicMs());
      if (next !== null) return next;
    }
    if (signal.aborted || isStopping()) return clock.monotonicMs() + laterMs;
    const made = await this.#send(first, receiver, signal);
    // Whether it has arrived is not known: whoever leads next sends it again.
    if (signal.aborted) return 'when seen';
    this.#count(first, made);
    if (made.attempt.error === null) book.arrived(lane.receiver, clock.now());
    else book.failed(lane.receiver, clock.now(), clock.monotonicMs(), made.wish.retryAfterMs ?? 0);
    await this.#record(first, made, signal);
    if (receiver.kind === 'http' && receiver.webhook) await this.#noteHealth(lane, first, made);
    return 'at once';
  }

  async #send(
    delivery: DeliveryRecord,
    receiver: Exclude<Receiver, { kind: 'none' }>,
    signal: AbortSignal,
  ): Promise<Attempt> {
    const { clock } = this.#parts;
    const at = clock.now();
    const beganMs = clock.monotonicMs();
    const result =
      receiver.kind === 'topic' ? await this.#publish(delivery) : await this.#post(delivery, receiver, signal);
    const { error, httpStatus, retryAfterMs } = result;
    const durationMs = Math.max(0, Math.round(clock.monotonicMs() - beganMs));
    return {
      attempt: { at, durationMs, httpStatus, error },
      wish: { retryAfterMs, isFinal: httpStatus === 410 },
    };
  }

  async #post(
    delivery: DeliveryRecord,
    { secrets, url }: Extract<Receiver, { kind: 'http' }>,
    signal: AbortSignal,
  ): Promise<SendResult> {
    const { clock, sender } = this.#parts;
    const body = bodyOf(delivery);
    const headers = signatureHeaders({ id: delivery.id, sentAtMs: clock.now(), body }, secrets);
    return await sender.send({ url, headers, body }, signal);
  }

  async #publish(delivery: DeliveryRecord): Promise<SendResult> {
    const { clock, settings, topic } = this.#parts;
    if (topic === null) return { httpStatus: null, error: 'there is no topic', retryAfterMs: null };
    try {
      const publishing = topic.publish(topicMessageOf(delivery)).then(() => null);
      // The topic's own deadline is shorter as a rule; one that has none does not hold a place for ever.
      const error = await within(clock, settings.timeoutMs, publishing, 'the topic did not answer in time');
      return { httpStatus: null, error, retryAfterMs: null };
    } catch (error) {
      this.#parts.logger.debug({ event: 'delivery_not_published', err: error }, 'the topic did not take a delivery');
      return { httpStatus: null, error: 'the topic did not take it', retryAfterMs: null };
    }
  }

  /** An arrival is recorded whatever another has written meanwhile, a failure only where nobody came first. */
  async #record(sent: DeliveryRecord, { attempt, wish }: Attempt, signal: AbortSignal): Promise<void> {
    const { clock, random, records } = this.#parts;
    let standing: DeliveryRecord | null = sent;
    for (let tries = 0; ; tries++) {
      try {
        while (standing !== null && standing.status !== 'delivered') {
          if (standing.status === 'failed' && attempt.error !== null) return;
          const next = attemptedDelivery(standing, attempt, clock.now(), random(), wish);
          if ((await records.deliveries.replace(next)) !== null) return;
          standing = await records.deliveries.get(sent.tenant, sent.id);
          if (attempt.error !== null) return;
        }
        return;
      } catch (error) {
        const delayMs = recordDelaysMs[tries];
        if (delayMs === undefined || signal.aborted) throw error;
        await within(clock, delayMs, aborted(signal), undefined);
      }
    }
  }

  async #noteHealth(lane: Lane, { attemptCount, target, tenant }: DeliveryRecord, { attempt }: Attempt): Promise<void> {
    const { logger, receivers } = this.#parts;
    try {
      if (attempt.error === null) await receivers.arrived(tenant, target.id);
      else if (attempt.httpStatus === 410) await receivers.gone(tenant, target.id);
      else await receivers.failed(lane.receiver, target.id, attemptCount + 1);
    } catch (error) {
      // It is noted at the next delivery.
      logger.debug({ event: 'webhook_health_not_noted', webhook_id: target.id, err: error }, 'a store did not answer');
    }
  }

  /** All that is pending for a receiver that is no more; its lanes come here together. */
  #abandonAll(delivery: DeliveryRecord, reason: string, signal: AbortSignal): Promise<NextLook> {
    const key = JSON.stringify([delivery.tenant, delivery.target.id]);
    const underWay = this.#abandoning.get(key);
    if (underWay !== undefined) return underWay;
    const abandoning = this.#abandon(delivery, reason, signal).finally(() => this.#abandoning.delete(key));
    this.#abandoning.set(key, abandoning);
    return abandoning;
  }

  async #abandon({ target, tenant }: DeliveryRecord, reason: string, signal: AbortSignal): Promise<NextLook> {
    const { clock, isStopping, metrics, records } = this.#parts;
    for (let abandoned = 0; abandoned < mostAbandoned; ) {
      const page = await records.deliveries.list(
        tenant,
        { targetId: target.id, status: 'pending' },
        { after: null, limit: pageSize, order: 'asc' },
      );
      for (const delivery of page.data) {
        if (signal.aborted || isStopping()) return clock.monotonicMs() + laterMs;
        await records.deliveries.replace(abandonedDelivery(delivery, reason, clock.now()));
        metrics.deliveries.inc({ outcome: 'failed' });
      }
      abandoned += page.data.length;
      if (!page.hasMore) return 'at once';
    }
    return 'at once';
  }

  #count({ noticeAt, giveUpAt }: DeliveryRecord, { attempt, wish }: Attempt): void {
    const { clock, metrics } = this.#parts;
    if (attempt.error === null) {
      metrics.deliveries.inc({ outcome: 'delivered' });
      metrics.deliveryLagSeconds.observe(Math.max(0, clock.now() - noticeAt) / 1_000);
    } else metrics.deliveries.inc({ outcome: wish.isFinal || clock.now() >= giveUpAt ? 'failed' : 'retried' });
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
