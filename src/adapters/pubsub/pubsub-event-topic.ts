// Publishes to one topic, in order where a message has an ordering key. Batches and repeats are the client's;
// bounds, deadlines and a key that goes on after a failure are ours.

import type { PubSub, Topic } from '@google-cloud/pubsub';
import type { EventTopic, OutgoingMessage } from '../../contracts/message-source.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import { openPubsub, type PubsubAccess } from './pubsub-client.ts';
import { pubsubError, unavailablePubsub } from './pubsub-errors.ts';

export type PubsubEventTopicOptions = PubsubAccess & {
  readonly topic: string;
  readonly clock: Clock;
  /** From the call to its end, with all repeats. */
  readonly timeoutMs: number;
};

/** Under way at once, whatever they weigh, and what they may weigh. */
const mostMessages = 1_000;
const mostBytes = 32 * 1024 * 1024;
/** Of Pub/Sub, less a little for names and the envelope: a larger one hangs until its deadline, or is refused. */
const mostMessageBytes = 9_900_000;
/** Repeated within the deadline: each may have arrived, and arrives twice then. */
const repeatedCodes = [1, 2, 4, 8, 10, 13, 14];

export class PubsubEventTopic implements EventTopic {
  readonly #options: PubsubEventTopicOptions;
  readonly #pubsub: PubSub;
  readonly #topic: Topic;
  readonly #underWay = new Set<Promise<unknown>>();
  #bytes = 0;
  #isClosed = false;

  constructor(options: PubsubEventTopicOptions) {
    const { timeoutMs, topic } = options;
    this.#options = options;
    this.#pubsub = openPubsub(options);
    this.#topic = this.#pubsub.topic(topic, {
      messageOrdering: true,
      batching: { maxMessages: 100, maxMilliseconds: 5 },
      gaxOpts: {
        retry: {
          retryCodes: repeatedCodes,
          backoffSettings: {
            initialRetryDelayMillis: 100,
            retryDelayMultiplier: 2,
            maxRetryDelayMillis: 2_000,
            initialRpcTimeoutMillis: timeoutMs,
            rpcTimeoutMultiplier: 1,
            maxRpcTimeoutMillis: timeoutMs,
            totalTimeoutMillis: timeoutMs,
          },
        },
      },
    });
  }

  async publish(message: OutgoingMessage): Promise<void> {
    const bytes = bytesOf(message);
    if (bytes > mostMessageBytes) throw new ServiceError('payload_too_large', { limit_bytes: mostMessageBytes });
    if (this.#isClosed) throw unavailablePubsub('closed');
    if (this.#underWay.size >= mostMessages || this.#bytes + bytes > mostBytes) throw unavailablePubsub('busy');
    const published = this.#publish(message);
    this.#underWay.add(published);
    this.#bytes += bytes;
    void published
      .catch(() => {})
      .then(() => {
        this.#underWay.delete(published);
        this.#bytes -= bytes;
      });
    await this.#inTime(published);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#inTime(Promise.allSettled(this.#underWay)).catch(() => {});
    await this.#pubsub.close().catch(() => {});
  }

  async #publish({ attributes, data, orderingKey }: OutgoingMessage): Promise<void> {
    try {
      await this.#topic.publishMessage({
        data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
        attributes: { ...attributes },
        ...(orderingKey === '' ? {} : { orderingKey }),
      });
    } catch (error) {
      // By its documentation the client refuses all of that key until it is told otherwise; 6.3 forgets the failure
      // by itself, once nothing of the key waits. It decides either after it has rejected this one: told later.
      if (orderingKey !== '') this.#options.clock.after(0, () => this.#topic.resumePublishing(orderingKey));
      throw pubsubError(error);
    }
  }

  /** The client counts from when it sends, and a message may wait before that. */
  async #inTime(work: Promise<unknown>): Promise<void> {
    const { clock, timeoutMs } = this.#options;
    let cancel = (): void => {};
    const late = new Promise<never>((_resolve, reject) => {
      cancel = clock.after(timeoutMs, () => reject(unavailablePubsub('timeout')));
    });
    try {
      await Promise.race([work, late]);
    } finally {
      cancel();
    }
  }
}

function bytesOf({ attributes, data, orderingKey }: OutgoingMessage): number {
  const texts = [orderingKey, ...Object.entries(attributes).flat()];
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), data.byteLength);
}
