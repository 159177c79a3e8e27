// What was decided about messages, on its way to the server: many in one call, one call at a time, repeated
// when it failed for a passing reason. One that never arrives is harmless: the message comes again.

import type { Clock } from '../../core/clock.ts';
import type { Answered } from './pubsub-subscription.ts';

type Pending = { readonly ackId: string; readonly settle: (isAnswered: boolean) => void; tries: number };

const mostIdsPerCall = 1_000;
const mostTries = 5;
const firstRetryMs = 100;

export class AnswerQueue {
  readonly #clock: Clock;
  readonly #send: (ackIds: readonly string[]) => Promise<Answered>;
  #pending: Pending[] = [];
  #running: Promise<void> | null = null;
  #isClosed = false;

  constructor(clock: Clock, send: (ackIds: readonly string[]) => Promise<Answered>) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Whether the server has it; never rejects. */
  add(ackId: string): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false);
    return new Promise((settle) => {
      this.#pending.push({ ackId, settle, tries: 0 });
      // In a later tick: what is decided in this one goes with it.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  /** What was added is sent; nothing more is taken, and nothing is tried again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    let delayMs = firstRetryMs;
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0, mostIdsPerCall);
      const { again, lost } = await this.#send(batch.map(({ ackId }) => ackId));
      const repeated = batch.filter(({ ackId }) => again.includes(ackId));
      for (const pending of batch) {
        if (!again.includes(pending.ackId)) pending.settle(!lost.includes(pending.ackId));
      }
      for (const pending of repeated) {
        pending.tries += 1;
        if (this.#isClosed || pending.tries >= mostTries) pending.settle(false);
        else this.#pending.push(pending);
      }
      if (repeated.length === 0) {
        delayMs = firstRetryMs;
      } else if (this.#pending.length > 0) {
        await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
        delayMs *= 2;
      }
    }
    this.#running = null;
  }
}
