// Rate limits in Redis: for each tenant the moment, in microseconds of the server's clock, at which it would have
// nothing left to wait for, had it taken one at a time, evenly. A clock that is set costs a tenant a minute at most.

import type { RateAnswer, RateKind, RateLimiter } from '../../contracts/rate-limiter.ts';
import type { TenantId } from '../../core/ids.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { tenantKey } from './redis-keys.ts';

/** KEYS: the moment. ARGV: how many a minute. Answers {allowed, milliseconds to wait, how many are left}. */
const takeLua = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every = math.floor(60000000 / tonumber(ARGV[1]))
local window = every * tonumber(ARGV[1])
local even = tonumber(redis.call('GET', KEYS[1]) or '') or now
if even < now then even = now end
if even > now + window then even = now + window end
local next = even + every
local wait = next - now - window
if wait > 0 then return {0, math.ceil(wait / 1000), 0} end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return {1, 0, math.floor((window - (next - now)) / every)}
`;

export class RedisRateLimiter implements RateLimiter {
  readonly #keyPrefix: string;
  readonly #take: RedisScript;

  constructor(connection: RedisConnection) {
    this.#keyPrefix = connection.keyPrefix;
    this.#take = connection.script(takeLua);
  }

  async take(tenant: TenantId, kind: RateKind, perMinute: number): Promise<RateAnswer> {
    const key = tenantKey(this.#keyPrefix, tenant, `rate:${kind}`);
    const [allowed, retryAfterMs, remaining] = (await this.#take([key], [perMinute])) as [number, number, number];
    return { allowed: allowed === 1, retryAfterMs, limit: perMinute, remaining };
  }
}
