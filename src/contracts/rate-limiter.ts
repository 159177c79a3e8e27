// How often a tenant may do something, counted over all gateways together.

import type { TenantId } from '../core/ids.ts';

export type RateKind = 'turns';

export type RateAnswer = {
  readonly allowed: boolean;
  /** When one more would be allowed; 0 when this one was. */
  readonly retryAfterMs: number;
  readonly limit: number;
  /** How many more would be allowed at once. */
  readonly remaining: number;
};

export interface RateLimiter {
  /**
   * Takes one, if there is one. Whoever took none for a minute may take `perMinute` (1 or more) at once; they
   * come back one by one, evenly. A refusal costs nothing. Time is the limiter's own.
   */
  take(tenant: TenantId, kind: RateKind, perMinute: number): Promise<RateAnswer>;
}
