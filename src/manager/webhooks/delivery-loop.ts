// Delivers what is on record, while this process leads: finds what is due, has the first of each lane sent, so many
// at once, so many of each tenant and to each receiver, and clears away what ended long ago. All of it may be done
// by two at once.

import type { TLSSocketOptions } from 'node:tls';
import { addressRanges } from '../../api/receiver-url.ts';
import type { EventTopic } from '../../contracts/message-source.ts';
import type { Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Term } from '../lead.ts';
import { Recurring } from '../recurring.ts';
import type { HostResolver } from './address-guard.ts';
import { DeliveryDesk } from './delivery-desk.ts';
import { DeliveryScan } from './delivery-scan.ts';
import { LaneBook } from './lane-book.ts';
import { Receivers } from './receivers.ts';
import { WebhookSender } from './webhook-sender.ts';

export type DeliveryLoopParts = {
  readonly records: Pick<Records, 'deliveries' | 'webhooks' | 'jobs'>;
  /** null: the fleet publishes to none. */
  readonly topic: Pick<EventTopic, 'publish'> | null;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'deliveries' | 'deliveriesDue' | 'deliveryLagSeconds'>;
  readonly settings: DeliverySettings;
  /** Of this program; receivers are told it. */
  readonly version: string;
  /** Default: the name servers. */
  readonly resolve?: HostResolver;
  /** Default: the authorities that Node trusts. */
  readonly authorities?: TLSSocketOptions['ca'];
};

export type DeliverySettings = {
  readonly timeoutMs: number;
  readonly retainMs: number;
  readonly allowHttp: boolean;
  /** Ranges such as 10.8.0.0/16. */
  readonly allowPrivate: readonly string[];
};

const everyMs = 1_000;
/** Between two passes, also where there is more than a pass looks at or somebody says that there is more. */
const atLeastMs = 50;
const failedPassMs = 5_000;
const clearEveryMs = 60_000;
const clearPageSize = 100;
const mostErasesAtOnce = 16;
/** What is under way at a stop may end by itself for so long; then it is cut, and sent again by whoever leads next. */
const stopMs = 5_000;

const limits = {
  mostAtOnce: 64,
  mostOfTenant: 16,
  mostOfReceiver: 8,
  mostToFailing: 32,
  /** Of each some 400 bytes are remembered. */
  mostLanes: 20_000,
  mostLanesOfTenant: 4_000,
  mostLanesOfReceiver: 2_000,
  mostLanesOfProbed: 100,
};

export class DeliveryLoop implements Term {
  readonly #parts: DeliveryLoopParts;
  readonly #book = new LaneBook(limits);
  readonly #scan: DeliveryScan;
  readonly #desk: DeliveryDesk;
  readonly #loop: Recurring;
  readonly #clearing: Recurring;
  readonly #underWay = new Set<Promise<void>>();
  readonly #cut = new AbortController();
  #isStopping = false;
  #stopped: Promise<void> | null = null;
  #lastPassMs = -Infinity;
  #cancelPoke: (() => void) | null = null;
  #isFailureTold = false;
  #isClearFailureTold = false;

  constructor(parts: DeliveryLoopParts) {
    const { authorities, clock, records, resolve, settings, topic, version } = parts;
    this.#parts = parts;
    this.#scan = new DeliveryScan({
      deliveries: records.deliveries,
      clock,
      onDue: ({ sessionId: lane, tenant }) => this.#book.see(tenant, lane, clock.monotonicMs()),
    });
    const sender = new WebhookSender({
      rules: { allowHttp: settings.allowHttp, allowPrivate: addressRanges(settings.allowPrivate) },
      timeoutMs: settings.timeoutMs,
      userAgent: `codex-fleet/${version}`,
      clock,
      ...(resolve === undefined ? {} : { resolve }),
      ...(authorities === undefined ? {} : { authorities }),
    });
    this.#desk = new DeliveryDesk({
      ...parts,
      book: this.#book,
      receivers: new Receivers({ ...parts, hasTopic: topic !== null }),
      sender,
      isStopping: () => this.#isStopping,
    });
    this.#loop = new Recurring(clock, (isStopping) => this.#pass(isStopping));
    this.#clearing = new Recurring(clock, (isStopping) => this.#clear(isStopping));
  }

  start(): void {
    this.#loop.start();
    this.#clearing.start();
  }

  /** Something new is due, perhaps. Harmless at any time, and however often. */
  poke(): void {
    if (this.#isStopping || this.#cancelPoke !== null) return;
    const { clock } = this.#parts;
    const inMs = Math.max(0, this.#lastPassMs + atLeastMs - clock.monotonicMs());
    this.#cancelPoke = clock.after(inMs, () => {
      this.#cancelPoke = null;
      this.#loop.poke();
    });
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelPoke?.();
    await Promise.all([this.#loop.stop(), this.#clearing.stop()]);
    const ended = Promise.all(this.#underWay);
    await within(this.#parts.clock, stopMs, ended, undefined);
    this.#cut.abort();
    await ended;
  }

  /** Answers when the next is due. Never rejects. */
  async #pass(isStopping: () => boolean): Promise<number> {
    const { clock, logger, metrics } = this.#parts;
    this.#lastPassMs = clock.monotonicMs();
    try {
      this.#book.wake(clock.monotonicMs());
      const hasMore = await this.#scan.pass(isStopping);
      this.#dispatch();
      metrics.deliveriesDue.set(this.#book.due);
      this.#isFailureTold = false;
      return hasMore ? atLeastMs : everyMs;
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn({ event: 'deliveries_not_found', err: error }, 'deliveries that are due could not be looked for');
      this.#isFailureTold = true;
      this.#dispatch();
      return failedPassMs;
    }
  }

  #dispatch(): void {
    const { clock } = this.#parts;
    while (!this.#isStopping) {
      const lane = this.#book.take(clock.monotonicMs());
      if (lane === null) return;
      const looking = this.#desk.look(lane, this.#cut.signal).then((next) => {
        this.#underWay.delete(looking);
        this.#book.release(lane, next, clock.monotonicMs());
        this.#dispatch();
      });
      this.#underWay.add(looking);
    }
  }

  /** Those that ended long ago, a page at a time; answers when the next is due. Never rejects. */
  async #clear(isStopping: () => boolean): Promise<number> {
    const { clock, logger, records, settings } = this.#parts;
    try {
      const beforeMs = clock.now() - settings.retainMs;
      const page = await records.deliveries.listEnded(beforeMs, null, clearPageSize);
      const left = page.data.values();
      const erase = async (): Promise<void> => {
        for (const { id, tenant } of left) {
          if (isStopping()) return;
          await records.deliveries.erase(tenant, id);
        }
      };
      const results = await Promise.allSettled(Array.from({ length: mostErasesAtOnce }, erase));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
      this.#isClearFailureTold = false;
      return page.hasMore ? atLeastMs : clearEveryMs;
    } catch (error) {
      if (!this.#isClearFailureTold)
        logger.warn({ event: 'deliveries_not_cleared', err: error }, 'deliveries that ended long ago were not erased');
      this.#isClearFailureTold = true;
      return clearEveryMs;
    }
  }
}
