// Leadership in Redis: one key that names the leader and ends by itself. One for each thing that is led.

import type { Leadership } from '../../contracts/leadership.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { fleetKey } from './redis-keys.ts';
import { boundTermLua } from './store-age.ts';

/** KEYS: leader. ARGV: holder, ttl. */
const holdLua = `${boundTermLua}
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  -- A standby asks for no longer than the leader did.
  boundTerm(KEYS[1], tonumber(ARGV[2]))
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;

const resignLua = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`;

export class RedisLeadership implements Leadership {
  readonly #key: string;
  readonly #hold: RedisScript;
  readonly #resign: RedisScript;

  /** `of`: leader, the session managers'; records, which data directory the fleet's records are in. */
  constructor(connection: RedisConnection, of: 'leader' | 'records' = 'leader') {
    this.#key = fleetKey(connection.keyPrefix, of);
    this.#hold = connection.script(holdLua);
    this.#resign = connection.script(resignLua);
  }

  async hold(holder: string, ttlMs: number): Promise<boolean> {
    return (await this.#hold([this.#key], [holder, ttlMs])) === 1;
  }

  async resign(holder: string): Promise<void> {
    await this.#resign([this.#key], [holder]);
  }
}
