// Whether this manager leads: asks for the lead, works only while it has it by its own clock, and gives
// it up when it stops. What is to be done while leading is a term; each begins and ends here.

import type { Leadership } from '../contracts/leadership.ts';
import type { Clock } from '../core/clock.ts';
import { within } from '../core/deadline.ts';
import type { Logger } from '../observability/logger.ts';
import { Recurring } from './recurring.ts';

/** The work of one time of leading. */
export type Term = {
  start(): void;
  /** Begins nothing more at once; resolves when what was begun has ended. Must not reject. */
  stop(): Promise<void>;
};

export type LeadParts = {
  readonly leadership: Leadership;
  /** Unique among all managers and all runs of them. */
  readonly holder: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly beginTerm: () => Term;
  readonly onChange: (isLeading: boolean) => void;
};

const ttlMs = 5_000;
/** Before another can have the lead: counted from when it was asked for, so it is later for nobody else. */
const fenceMs = 4_000;
const renewEveryMs = 1_500;
/** A standby asks more often: the lead may have come free at any moment. */
const standEveryMs = 1_000;
const answerMs = 2_000;
/** A term that has not ended by then is left to itself: all that it does is conditional. */
const patienceMs = 30_000;
/** At a stop another may lead from then on. */
const resignAfterMs = 1_000;

export class Lead {
  readonly #parts: LeadParts;
  readonly #loop: Recurring;
  #term: Term | null = null;
  #untilMs = -Infinity;
  #cancelFence: () => void = () => {};
  #ending: Promise<void> = Promise.resolve();
  #isEnding = false;
  #isStopping = false;
  #isRefusalTold = false;

  constructor(parts: LeadParts) {
    this.#parts = parts;
    this.#loop = new Recurring(parts.clock, () => this.#ask());
  }

  /** By this process's own monotonic clock; nobody else can have been given the lead meanwhile. */
  get isLeading(): boolean {
    return this.#term !== null && this.#parts.clock.monotonicMs() < this.#untilMs;
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    const { clock, holder, leadership, logger } = this.#parts;
    this.#isStopping = true;
    const hasLed = this.#term !== null;
    this.#endTerm('stopped');
    await this.#loop.stop();
    if (hasLed) {
      await within(clock, resignAfterMs, this.#ending, undefined);
      await within(clock, answerMs, leadership.resign(holder), undefined).catch((error: unknown) =>
        logger.warn({ event: 'lead_not_resigned', err: error }, 'the lead could not be given up; it ends by itself'),
      );
    }
    await this.#ending;
  }

  /** Answers when to ask again. Never rejects. */
  async #ask(): Promise<number> {
    const { clock, holder, leadership, logger } = this.#parts;
    // Who has not finished its last term does not stand: another can begin at once.
    if (this.#isEnding) return standEveryMs;
    const askedAtMs = clock.monotonicMs();
    try {
      const answer = await within(clock, answerMs, leadership.hold(holder, ttlMs), 'late');
      if (this.#isStopping) {
        // The answer came after the stop had begun: nobody is to wait for a lead that nobody uses.
        if (answer !== false && this.#term === null)
          await within(clock, answerMs, leadership.resign(holder), undefined);
        return standEveryMs;
      }
      if (answer === false) this.#endTerm('taken');
      if (answer === true) this.#lead(askedAtMs);
      if (answer !== 'late') this.#isRefusalTold = false;
    } catch (error) {
      if (!this.#isRefusalTold) logger.warn({ event: 'lead_unknown', err: error }, 'who leads could not be found out');
      this.#isRefusalTold = true;
    }
    return this.#term === null ? standEveryMs : renewEveryMs;
  }

  #lead(askedAtMs: number): void {
    const { beginTerm, clock, logger, onChange } = this.#parts;
    const leftMs = askedAtMs + fenceMs - clock.monotonicMs();
    if (leftMs <= 0) return;
    this.#untilMs = askedAtMs + fenceMs;
    this.#cancelFence();
    // It does not wait for an answer: a store that hangs is a reason to stop, too.
    this.#cancelFence = clock.after(leftMs, () => this.#endTerm('not renewed'));
    if (this.#term !== null) return;
    this.#term = beginTerm();
    logger.info({ event: 'lead_taken' }, 'this session manager leads');
    onChange(true);
    this.#term.start();
  }

  #endTerm(reason: 'taken' | 'not renewed' | 'stopped'): void {
    const { clock, logger, onChange } = this.#parts;
    const term = this.#term;
    if (term === null) return;
    this.#term = null;
    this.#cancelFence();
    logger.info({ event: 'lead_ended', reason }, 'this session manager does not lead any more');
    onChange(false);
    this.#isEnding = true;
    this.#ending = within(clock, patienceMs, term.stop(), undefined).finally(() => {
      this.#isEnding = false;
    });
  }
}
