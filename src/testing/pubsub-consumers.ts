// For tests against the Pub/Sub emulator: sources with a kill switch, topics, and a look at what lies in a
// subscription.

import assert from 'node:assert/strict';
import { PubsubEventTopic } from '../adapters/pubsub/pubsub-event-topic.ts';
import {
  type MessageSourceOptions,
  PubsubMessageSource,
  sourceDefaults,
} from '../adapters/pubsub/pubsub-message-source.ts';
import {
  type MessageStream,
  PubsubSubscription,
  type SubscriptionCalls,
} from '../adapters/pubsub/pubsub-subscription.ts';
import type { EventTopic, MessageSource } from '../contracts/message-source.ts';
import { createLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import type { PubsubEmulator } from './pubsub-emulator.ts';

/** The shortest lease that Pub/Sub gives: what a killed consumer held comes again after it. */
export const shortestLeaseMs = 10_000;

export const systemClock = new SystemClock();

export const silentLogger = createLogger({ level: 'silent', role: 'test' });

/** The emulator, or a way to it. */
type Reached = Pick<PubsubEmulator, 'project' | 'endpoint'>;

export type Consumer = {
  readonly source: MessageSource;
  /** As `kill -9` would: from now on nothing that it says is sent, and nobody is told. */
  kill(): Promise<void>;
};

export function consumerOf(
  emulator: Reached,
  subscription: string,
  changes: Partial<MessageSourceOptions> = {},
): Consumer {
  const calls = new MortalCalls(
    new PubsubSubscription({
      ...accessTo(emulator),
      subscription,
      clock: systemClock,
      leaseMs: shortestLeaseMs,
      callTimeoutMs: 5_000,
    }),
  );
  const source = new PubsubMessageSource({
    ...sourceDefaults,
    calls,
    deadLetters: null,
    maxMessages: 50,
    clock: systemClock,
    logger: silentLogger,
    leaseMs: shortestLeaseMs,
    ...changes,
  });
  return {
    source,
    kill: async () => {
      calls.kill();
      await source.stop();
    },
  };
}

export function topicOf(emulator: Reached, topic: string, timeoutMs = 5_000): PubsubEventTopic {
  return new PubsubEventTopic({ ...accessTo(emulator), topic, clock: systemClock, timeoutMs });
}

export function accessTo(emulator: Reached): { project: string; endpoint: string } {
  return { project: emulator.project, endpoint: emulator.endpoint };
}

/** Tests publish through the same part as the product. */
export async function publishAll(
  topic: EventTopic,
  messages: readonly { body: string; attributes?: Record<string, string>; orderingKey?: string }[],
): Promise<void> {
  await Promise.all(
    messages.map(({ attributes = {}, body, orderingKey = '' }) =>
      topic.publish({ data: Buffer.from(body), attributes, orderingKey }),
    ),
  );
}

export async function eventually(holds: () => boolean, what: string, withinMs = 20_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

class MortalCalls implements SubscriptionCalls {
  readonly #calls: SubscriptionCalls;
  readonly #streams = new Set<MessageStream>();
  #isDead = false;

  constructor(calls: SubscriptionCalls) {
    this.#calls = calls;
  }

  get name(): string {
    return this.#calls.name;
  }

  kill(): void {
    this.#isDead = true;
    for (const stream of this.#streams) stream.close();
  }

  open(...[limits, listener]: Parameters<SubscriptionCalls['open']>): MessageStream {
    const stream = this.#calls.open(limits, listener);
    this.#streams.add(stream);
    return stream;
  }

  async acknowledge(ackIds: readonly string[]) {
    return this.#isDead ? { again: [], lost: [...ackIds] } : this.#calls.acknowledge(ackIds);
  }

  async extend(ackIds: readonly string[], seconds: number) {
    return this.#isDead ? { again: [], lost: [...ackIds] } : this.#calls.extend(ackIds, seconds);
  }

  close(): Promise<void> {
    return this.#calls.close();
  }
}
