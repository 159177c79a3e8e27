// Tickets in Redis: a key each, and for each tenant the order in which its unused ones were made.

import type { TicketHolder, TicketLimits, TicketStore } from '../../contracts/ticket-store.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { tenantKey, ticketKey } from './redis-keys.ts';

/**
 * KEYS: the tenant's tickets. ARGV: hash, ttl, most. Answers those that give way. The order is that of calls, also
 * within one millisecond and when the clock is set back; those that are too old are gone by themselves, or go now.
 */
const orderLua = `
local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local score = math.max(nowMs, (tonumber(latest[2] or '') or 0) + 0.001)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', nowMs - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], string.format('%.3f', score), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if over <= 0 then return {} end
local oldest = redis.call('ZRANGE', KEYS[1], 0, over - 1)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
return oldest
`;

export class RedisTicketStore implements TicketStore {
  readonly #connection: RedisConnection;
  readonly #order: RedisScript;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#order = connection.script(orderLua);
  }

  async put(hash: string, holder: TicketHolder, { ttlMs, perTenant }: TicketLimits): Promise<void> {
    const { keyPrefix } = this.#connection;
    const orderKey = tenantKey(keyPrefix, holder.tenant, 'tickets');
    const oldest = (await this.#order([orderKey], [hash, ttlMs, perTenant])) as string[];
    const value = JSON.stringify({ tenant: holder.tenant, name: holder.name } satisfies TicketHolder);
    await this.#connection.run(async (client) => {
      await client.set(ticketKey(keyPrefix, hash), value, 'PX', ttlMs);
      // One by one: in a cluster they lie on different servers.
      await Promise.all(oldest.map((old) => client.unlink(ticketKey(keyPrefix, old))));
    });
  }

  async take(hash: string): Promise<TicketHolder | null> {
    const { keyPrefix } = this.#connection;
    const value = await this.#connection.run((client) => client.getdel(ticketKey(keyPrefix, hash)));
    if (value === null) return null;
    const { name, tenant } = JSON.parse(value) as TicketHolder;
    // It is taken, whether or not this is noted: left in the order it counts for some seconds more.
    await this.#connection
      .run((client) => client.zrem(tenantKey(keyPrefix, tenant, 'tickets'), hash))
      .catch(() => undefined);
    return { tenant, name };
  }
}
