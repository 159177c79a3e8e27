// How many turns a tenant may start in a minute, at all gateways together. A limiter that does not answer
// lets everybody through: a limit must not become an outage.

import type { RateAnswer } from '../contracts/rate-limiter.ts';
import { within } from '../core/deadline.ts';
import { ServiceError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';
import type { Gear } from './gateway-parts.ts';

/** Nobody waits longer for leave to begin. */
const answerMs = 250;
/** After a failure the limiter is left alone for so long: not every turn waits for it. */
const restMs = 1_000;

export class TurnRate {
  readonly #parts: Pick<Gear, 'clock' | 'logger' | 'rateLimiter' | 'limits'>;
  #restsUntilMs = 0;
  #isFailing = false;

  constructor(parts: Pick<Gear, 'clock' | 'logger' | 'rateLimiter' | 'limits'>) {
    this.#parts = parts;
  }

  /** Whether turns are counted at all. */
  get isLimited(): boolean {
    return this.#parts.limits.turnsPerMinute > 0;
  }

  /** Rejects with `rate_limited`. */
  async assertWithin(tenant: TenantId): Promise<void> {
    if (!this.isLimited || this.#parts.clock.monotonicMs() < this.#restsUntilMs) return;
    const answer = await this.#ask(tenant);
    if (answer === null || answer.allowed) return;
    throw new ServiceError('rate_limited', {
      limit: answer.limit,
      // As the writer of Retry-After does, who knows whole seconds only.
      retry_after_s: Math.max(1, Math.ceil(answer.retryAfterMs / 1000)),
    });
  }

  async #ask(tenant: TenantId): Promise<RateAnswer | null> {
    const { clock, limits, rateLimiter } = this.#parts;
    try {
      const answer = await within(clock, answerMs, rateLimiter.take(tenant, 'turns', limits.turnsPerMinute), null);
      this.#noteState(answer !== null, null);
      return answer;
    } catch (error) {
      this.#noteState(false, error);
      return null;
    }
  }

  /** One line when it begins to fail, one when it answers again. */
  #noteState(answers: boolean, error: unknown): void {
    const { clock, logger } = this.#parts;
    if (!answers) this.#restsUntilMs = clock.monotonicMs() + restMs;
    if (this.#isFailing !== answers) return;
    this.#isFailing = !answers;
    if (answers) logger.info({ event: 'rate_limit_back' }, 'Turns are counted again');
    else logger.warn({ event: 'rate_limit_skipped', err: error }, 'Turns are not counted: the limiter does not answer');
  }
}
