// Outbox and delivery loop on records in memory, a clock that stands still, and real sockets: what is in flight is
// waited for between two moves of the clock.

import { setImmediate } from 'node:timers/promises';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { OutgoingMessage } from '../contracts/message-source.ts';
import type { Clock } from '../core/clock.ts';
import type { DeliveryRecord, Notice, WebhookRecord } from '../core/webhook.ts';
import { DeliveryLoop, type DeliveryLoopParts } from '../manager/webhooks/delivery-loop.ts';
import { RecordOutbox } from '../manager/webhooks/record-outbox.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { createMetrics, type DeliveryOutcome } from '../observability/metrics.ts';
import { FakeClock } from './fake-clock.ts';
import { webhookRecord } from './stored-records.ts';

export const labTenant = 'acme';
export const labSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

const openLabRules = { allowHttp: true, allowPrivate: ['127.0.0.0/8'] };
const patienceMs = 20_000;
/** Of no other wait: by this an attempt is known. */
export const labTimeoutMs = 15_000;

export class DeliveryLab {
  readonly clock = new FakeClock();
  readonly records = new MemoryRecords();
  readonly published: OutgoingMessage[] = [];
  readonly outcomes: DeliveryOutcome[] = [];
  /** Begun and not ended. */
  sending = 0;
  readonly #loops: DeliveryLoop[] = [];
  readonly #loopClock: Clock = {
    now: () => this.clock.now(),
    monotonicMs: () => this.clock.monotonicMs(),
    after: (delayMs, callback) => {
      const cancel = this.clock.after(delayMs, callback);
      if (delayMs !== labTimeoutMs) return cancel;
      // Each attempt has its time-out, and takes it back in the end.
      this.sending++;
      return () => {
        this.sending--;
        cancel();
      };
    },
  };
  #webhooks = 0;

  outbox(changes: Partial<ConstructorParameters<typeof RecordOutbox>[0]> = {}): RecordOutbox {
    return new RecordOutbox({ records: this.records, topic: false, clock: this.clock, ...changes });
  }

  loop(changes: Partial<DeliveryLoopParts> = {}): DeliveryLoop {
    const metrics = createMetrics();
    const loop = new DeliveryLoop({
      records: this.records,
      topic: null,
      clock: this.#loopClock,
      random: () => 0.5,
      logger: createSilentLogger(),
      settings: { timeoutMs: labTimeoutMs, retainMs: 7 * 24 * 3_600_000, ...openLabRules },
      version: '0.0.0',
      ...changes,
      metrics: { ...metrics, deliveries: { inc: ({ outcome }) => void this.outcomes.push(outcome) } },
    });
    this.#loops.push(loop);
    return loop;
  }

  async webhook(url: string, changes: Partial<WebhookRecord> = {}): Promise<WebhookRecord> {
    const id = `019f0000-0000-7000-8000-${(0xe00 + ++this.#webhooks).toString(16).padStart(12, '0')}`;
    const record = webhookRecord({
      tenant: labTenant,
      id,
      url,
      secrets: [{ secret: labSecret, endsAt: null }],
      ...changes,
    });
    await this.records.webhooks.create(record);
    return record;
  }

  notice(lane: string, order: number, changes: Partial<Notice> = {}): Notice {
    return {
      tenant: labTenant,
      identity: `${lane} ${order}`,
      lane,
      order,
      sessionId: null,
      jobId: null,
      type: 'turn.completed',
      at: this.clock.now(),
      data: JSON.stringify({ lane, order }),
      ...changes,
    };
  }

  /** Moves the clock in steps; after each, what was begun may end, all but so many that hang. */
  async run(ms: number, options: { readonly stepMs?: number; readonly hanging?: number } = {}): Promise<void> {
    const { hanging = 0, stepMs = 1_000 } = options;
    await this.quiet(hanging);
    for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
      this.clock.advance(Math.min(stepMs, leftMs));
      await this.quiet(hanging);
    }
  }

  async quiet(hanging = 0): Promise<void> {
    const endAt = performance.now() + patienceMs;
    for (let calm = 0; calm < 6; calm = this.sending <= hanging ? calm + 1 : 0) {
      if (performance.now() > endAt) throw new Error(`${this.sending} deliveries are still under way`);
      await setImmediate();
    }
  }

  async deliveries(
    targetId: string,
    status: DeliveryRecord['status'] | null = null,
  ): Promise<readonly DeliveryRecord[]> {
    const all: DeliveryRecord[] = [];
    for (let after: string | null = null, hasMore = true; hasMore; ) {
      const page = await this.records.deliveries.list(
        labTenant,
        { targetId, status },
        { after, limit: 100, order: 'asc' },
      );
      all.push(...page.data);
      after = page.data.at(-1)?.id ?? null;
      hasMore = page.hasMore;
    }
    return all;
  }

  async stop(): Promise<void> {
    const stopping = Promise.all(this.#loops.map((loop) => loop.stop()));
    for (let ended = false; !ended; ) {
      void stopping.then(() => {
        ended = true;
      });
      await this.clock.advanceAsync(1_000);
    }
  }
}
