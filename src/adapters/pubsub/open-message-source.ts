// A source as the settings describe it, with its dead-letter topic: opened and stopped as one.

import type { MessageSource } from '../../contracts/message-source.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../observability/logger.ts';
import type { PubsubAccess } from './pubsub-client.ts';
import { PubsubEventTopic } from './pubsub-event-topic.ts';
import { type MessageSourceOptions, PubsubMessageSource, sourceDefaults } from './pubsub-message-source.ts';
import { PubsubSubscription } from './pubsub-subscription.ts';

export type OpenMessageSourceOptions = PubsubAccess & {
  /** Short, or in full as `projects/p/subscriptions/s`; so is the topic. */
  readonly subscription: string;
  readonly deadLetterTopic: string | null;
  readonly maxMessages: number;
  /** Of one call to Pub/Sub. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
} & Partial<Pick<MessageSourceOptions, 'maxBytes' | 'leaseMs' | 'longestHoldMs' | 'stopTimeoutMs'>>;

export function openMessageSource(options: OpenMessageSourceOptions): MessageSource {
  const { clock, deadLetterTopic, endpoint, project, subscription, timeoutMs, ...rest } = options;
  const access = { project, ...(endpoint === undefined ? {} : { endpoint }) };
  const bounds = { ...sourceDefaults, ...rest };
  const topic =
    deadLetterTopic === null ? null : new PubsubEventTopic({ ...access, topic: deadLetterTopic, timeoutMs, clock });
  const calls = new PubsubSubscription({
    ...access,
    subscription,
    clock,
    leaseMs: bounds.leaseMs,
    callTimeoutMs: timeoutMs,
  });
  const source = new PubsubMessageSource({ ...bounds, calls, clock, deadLetters: topic });
  return {
    start: (handle) => source.start(handle),
    state: () => source.state(),
    stop: async () => {
      await source.stop();
      await topic?.close();
    },
  };
}
