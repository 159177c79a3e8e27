// Delivers what is on record, while this process leads: finds what is due, has the first of each lane sent, so many
// at once and so many to each receiver, and clears away what ended long ago. All of it may be done by two at once.

import type { TLSSocketOptions } from 'node:tls';
import { addressRanges } from '../../api/receiver-url.ts';
import type { EventTopic } from '../../contracts/message-source.ts';
import type { Page, FleetPlace, Records } from '../../contracts/records.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Term } from '../lead.ts';
import { Recurring } from '../recurring.ts';
import type { HostResolver } from './address-guard.ts';
import { DeliveryDesk } from './delivery-desk.ts';
import { DueScan } from './due-scan.ts';
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
  /** Asked right before each sending. Default: as long as it is not stopped. */
  readonly mayAct?: () => boolean;
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
const mostClearedPages = 10;
const pageSize = 100;
/** What is under way at a stop may end by itself for so long; then it is cut, and sent again by whoever leads next. */
const stopMs = 5_000;

const limits = {
  mostAtOnce: 64,
  mostOfReceiver: 8,
  mostToFailing: 32,
  /** Of each some 400 bytes are remembered. */
  mostLanes: 20_000,
  mostLanesOfReceiver: 2_000,
};

export class DeliveryLoop implements Term {
  readonly #parts: DeliveryLoopParts;
  readonly #book = new LaneBook(limits);
  readonly #scan: DueScan;
  readonly #desk: DeliveryDesk;
  readonly #loop: Recurring;
  readonly #underWay = new Set<Promise<void>>();
  readonly #cut = new AbortController();
  #isStopping = false;
  #stopped: Promise<void> | null = null;
  #nextClearMs = -Infinity;
  #lastPassMs = -Infinity;
  #cancelPoke: (() => void) | null = null;
  #isFailureTold = false;

  constructor(parts: DeliveryLoopParts) {
    const { authorities, clock, mayAct = () => true, records, resolve, settings, topic, version } = parts;
    this.#parts = parts;
    this.#scan = new DueScan({
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
      mayAct: () => !this.#isStopping && mayAct(),
    });
    this.#loop = new Recurring(clock, (isStopping) => this.#pass(isStopping));
  }

  start(): void {
    this.#loop.start();
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
    await this.#loop.stop();
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
      if (!isStopping()) await this.#clear(isStopping);
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
        this.#book.release(lane, next);
        this.#dispatch();
      });
      this.#underWay.add(looking);
    }
  }

  /** Those that ended long ago; a bounded number in each pass. */
  async #clear(isStopping: () => boolean): Promise<void> {
    const { clock, records, settings } = this.#parts;
    if (clock.monotonicMs() < this.#nextClearMs) return;
    this.#nextClearMs = clock.monotonicMs() + clearEveryMs;
    const beforeMs = clock.now() - settings.retainMs;
    for (let pages = 0; pages < mostClearedPages && !isStopping(); pages++) {
      const page: Page<FleetPlace> = await records.deliveries.listEnded(beforeMs, null, pageSize);
      for (const { id, tenant } of page.data) {
        if (isStopping()) return;
        await records.deliveries.erase(tenant, id);
      }
      if (!page.hasMore) return;
    }
  }
}
