// Reads one subscription: keeps its stream open, hands out what comes within bounds and in order, and tells the
// server how it was answered. What a message means is decided by who handles it.

import type {
  EventTopic,
  IncomingMessage,
  MessageAnswer,
  MessageSource,
  SourceState,
} from '../../contracts/message-source.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../observability/logger.ts';
import { AnswerQueue } from './answer-queue.ts';
import { deadLetterOf } from './dead-letter.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { isPassing } from './pubsub-errors.ts';
import type { MessageStream, PulledMessage, SubscriptionCalls } from './pubsub-subscription.ts';

export type MessageSourceOptions = {
  readonly calls: SubscriptionCalls;
  /** null: what is poison is given back, each time later, until the subscription's own dead-letter policy takes it. */
  readonly deadLetters: EventTopic | null;
  /** Most messages in hand. */
  readonly maxMessages: number;
  /** With so many in hand no more are read; the server sends some more at most. */
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number;
  /** A message that is answered `later` again and again, or not at all, is given back after so long. */
  readonly longestHoldMs: number;
  /** How long `stop` waits for what is being handled. */
  readonly stopTimeoutMs: number;
};

export const sourceDefaults = {
  maxBytes: 64 * 1024 * 1024,
  // The shortest there is: so long nobody has what a killed reader had in hand, and it is renewed while we have it.
  leaseMs: 10_000,
  // Each time that a message is given back brings it nearer to the dead-letter topic of a policy; five times this
  // is how long the fleet may take nothing before the usual policy loses patience.
  longestHoldMs: 600_000,
  stopTimeoutMs: 10_000,
} as const;

/** The pause before a message that was answered `later` is handled again; doubled each time up to the longest. */
const firstLaterMs = 500;
const longestLaterMs = 30_000;
/** Poison that was given back, of which is known how often; of those before them it is forgotten. */
const mostRemembered = 10_000;
const firstReopenMs = 250;
const longestReopenMs = 15_000;

export class PubsubMessageSource implements MessageSource {
  readonly #options: MessageSourceOptions;
  readonly #leases: LeaseKeeper;
  readonly #acknowledged: AnswerQueue;
  readonly #givenBack: AnswerQueue;
  /** In hand and begun, or next of their ordering key. */
  readonly #begun = new Set<PulledMessage>();
  /** Came although there was no room. */
  #waiting: PulledMessage[] = [];
  /** By ordering key: whether the one before was settled, so that the next may be handled. */
  readonly #chains = new Map<string, Promise<boolean>>();
  readonly #pauses = new Set<() => void>();
  /** By message id: how often it was given back as poison. */
  readonly #refusals = new Map<string, number>();
  #heldBytes = 0;
  #handle: (message: IncomingMessage) => Promise<MessageAnswer> = async () => ({ outcome: 'later' });
  #stream: MessageStream | null = null;
  #state: SourceState = { state: 'stopped' };
  #reopenMs = firstReopenMs;
  #isStopping = false;
  #stopped: Promise<void> | null = null;
  #onIdle: () => void = () => {};

  constructor(options: MessageSourceOptions) {
    const { calls, clock, leaseMs, longestHoldMs } = options;
    this.#options = options;
    this.#leases = new LeaseKeeper({ calls, clock, leaseMs, longestHoldMs });
    this.#acknowledged = new AnswerQueue(clock, (ackIds) => calls.acknowledge(ackIds));
    this.#givenBack = new AnswerQueue(clock, (ackIds) => calls.extend(ackIds, 0));
  }

  start(handle: (message: IncomingMessage) => Promise<MessageAnswer>): void {
    this.#handle = handle;
    this.#state = { state: 'unavailable', reason: 'connecting' };
    this.#open();
  }

  state(): SourceState {
    return this.#state;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  #open(): void {
    if (this.#isStopping) return;
    const { calls, maxBytes, maxMessages } = this.#options;
    this.#stream = calls.open(
      { messages: maxMessages, bytes: maxBytes },
      {
        opened: () => this.#opened(),
        messages: (pulled) => this.#take(pulled),
        ended: (reason, cause) => this.#ended(reason, cause),
      },
    );
    this.#makeRoom();
  }

  #opened(): void {
    this.#reopenMs = firstReopenMs;
    if (this.#state.state === 'reading' || this.#isStopping) return;
    this.#state = { state: 'reading' };
    const subscription = this.#options.calls.name;
    this.#options.logger.info({ event: 'message_source_reading', subscription }, 'Reading messages');
  }

  /** A stream is ended by the server every few minutes: only when it cannot be opened again is something wrong. */
  #ended(reason: string | null, cause: unknown): void {
    this.#stream = null;
    if (this.#isStopping) return;
    const wasReading = this.#state.state === 'reading';
    if (reason !== null && !(wasReading && this.#reopenMs === firstReopenMs && isPassing(reason))) {
      this.#becomeUnavailable(reason, cause);
    }
    const delayMs = this.#reopenMs * (1 - Math.random() / 2);
    this.#reopenMs = Math.min(longestReopenMs, this.#reopenMs * 2);
    void this.#pause(delayMs).then(() => this.#open());
  }

  #becomeUnavailable(reason: string, cause: unknown): void {
    const before = this.#state;
    this.#state = { state: 'unavailable', reason };
    if (before.state === 'unavailable' && before.reason === reason) return;
    const facts = { event: 'message_source_unavailable', subscription: this.#options.calls.name, reason, err: cause };
    // What passes by itself is none of a person's business; an absent subscription is.
    if (isPassing(reason)) this.#options.logger.warn(facts, 'Messages cannot be read');
    else this.#options.logger.error(facts, 'Messages cannot be read');
  }

  #take(pulled: readonly PulledMessage[]): void {
    for (const each of pulled) {
      if (this.#isStopping) {
        void this.#givenBack.add(each.ackId);
        continue;
      }
      this.#leases.add(each.ackId);
      this.#heldBytes += each.message.data.byteLength;
      this.#waiting.push(each);
    }
    this.#makeRoom();
  }

  #makeRoom(): void {
    const { maxBytes, maxMessages } = this.#options;
    while (this.#begun.size < maxMessages) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#begun.add(next);
      void this.#inOrder(next);
    }
    if (this.#begun.size >= maxMessages || this.#heldBytes >= maxBytes) this.#stream?.pause();
    else this.#stream?.resume();
  }

  async #inOrder(pulled: PulledMessage): Promise<void> {
    const { orderingKey } = pulled.message;
    const before = orderingKey === '' ? undefined : this.#chains.get(orderingKey);
    const settled = before === undefined ? this.#settle(pulled) : before.then((may) => this.#settleAfter(may, pulled));
    if (orderingKey !== '') this.#chains.set(orderingKey, settled);
    await settled;
    if (this.#chains.get(orderingKey) === settled) this.#chains.delete(orderingKey);
    this.#forget(pulled);
    this.#makeRoom();
    if (this.#begun.size === 0) this.#onIdle();
  }

  /** Behind one that was given back, all of its key go back with it: the server sends them again in order. */
  async #settleAfter(isNext: boolean, pulled: PulledMessage): Promise<boolean> {
    if (isNext) return this.#settle(pulled);
    await this.#givenBack.add(pulled.ackId);
    return false;
  }

  /** Until it is acknowledged or given back; whether what comes after it may be handled. */
  async #settle(pulled: PulledMessage): Promise<boolean> {
    const { clock, deadLetters, longestHoldMs } = this.#options;
    const lastTryMs = clock.monotonicMs() + longestHoldMs;
    let delayMs = firstLaterMs;
    let answer: MessageAnswer = { outcome: 'later' };
    while (!this.#isStopping && clock.monotonicMs() <= lastTryMs) {
      // One that was found to be poison, and could not be put aside, is not asked about again.
      if (answer.outcome === 'later') answer = await this.#ask(pulled.message);
      if (answer.outcome === 'poison') {
        if (deadLetters === null) {
          // The server sends again at once what is given back.
          await this.#pause(this.#holdOfPoison(pulled.message));
          await this.#givenBack.add(pulled.ackId);
          return true;
        }
        if (await this.#putAside(deadLetters, pulled.message, answer.reason)) answer = { outcome: 'done' };
      }
      if (answer.outcome === 'done') {
        await this.#acknowledged.add(pulled.ackId);
        return true;
      }
      await this.#pause(delayMs);
      delayMs = Math.min(longestLaterMs, delayMs * 2);
    }
    await this.#givenBack.add(pulled.ackId);
    return false;
  }

  #holdOfPoison({ deliveryAttempt, id }: IncomingMessage): number {
    const before = Math.max(this.#refusals.get(id) ?? 0, deliveryAttempt - 1);
    this.#refusals.delete(id);
    this.#refusals.set(id, before + 1);
    for (const oldest of this.#refusals.keys()) {
      if (this.#refusals.size <= mostRemembered) break;
      this.#refusals.delete(oldest);
    }
    return Math.min(longestLaterMs, firstLaterMs * 2 ** Math.min(10, before));
  }

  async #ask(message: IncomingMessage): Promise<MessageAnswer> {
    try {
      return await this.#handle(message);
    } catch (error) {
      this.#options.logger.error(
        { event: 'message_not_handled', message_id: message.id, err: error },
        'A message could not be handled',
      );
      return { outcome: 'later' };
    }
  }

  async #putAside(topic: EventTopic, message: IncomingMessage, reason: string): Promise<boolean> {
    try {
      await topic.publish(deadLetterOf(message, reason, this.#options.calls.name));
      return true;
    } catch (error) {
      this.#options.logger.error(
        { event: 'dead_letter_failed', message_id: message.id, err: error },
        'A message could not be put aside',
      );
      return false;
    }
  }

  #forget(pulled: PulledMessage): void {
    this.#leases.remove(pulled.ackId);
    this.#heldBytes -= pulled.message.data.byteLength;
    this.#begun.delete(pulled);
  }

  /** Shorter where the source is stopped. */
  #pause(delayMs: number): Promise<void> {
    if (this.#isStopping) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const cancel = this.#options.clock.after(delayMs, end);
      this.#pauses.add(end);
    });
  }

  async #stop(): Promise<void> {
    const { calls, clock, stopTimeoutMs } = this.#options;
    this.#isStopping = true;
    this.#stream?.close();
    for (const end of [...this.#pauses]) end();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { ackId } of waiting) void this.#givenBack.add(ackId);
    if (this.#begun.size > 0) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(stopTimeoutMs, resolve);
        this.#onIdle = () => {
          cancel();
          resolve();
        };
      });
    }
    for (const { ackId } of this.#begun) void this.#givenBack.add(ackId);
    this.#leases.stop();
    await Promise.all([this.#acknowledged.close(), this.#givenBack.close()]);
    await calls.close();
    this.#state = { state: 'stopped' };
  }
}
