// Workers in Redis: one hash of what each last said of itself and when, by the server's clock. While nobody was
// heard or asked, as when the server hung or its clock was set, silence says nothing: it is counted from then.

import type { KnownWorkers, WorkerEntry, WorkerRegistry } from '../../contracts/worker-registry.ts';
import type { WorkerId } from '../../core/ids.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { fleetKey } from './redis-keys.ts';
import { freshMark, storeAgeLua } from './store-age.ts';

export type RedisWorkerRegistryOptions = {
  /** Silent for longer: not named any more. */
  readonly forgetAfterMs: number;
  /** A gap in which nobody spoke to the registry, longer than workers and those who ask for them ever leave. */
  readonly gapMs: number;
};

const defaults: RedisWorkerRegistryOptions = { forgetAfterMs: 60_000, gapMs: 3_000 };

/** KEYS: workers, watch, mark. ARGV: fresh mark, gapMs, forgetAfterMs; then what each script adds. */
const watchLua = `${storeAgeLua}
local nowMs, _, bornMs = storeAge(KEYS[3], ARGV[1])
local watch = redis.call('HMGET', KEYS[2], 'last_ms', 'since_ms')
local lastMs = tonumber(watch[1] or '') or 0
local sinceMs = tonumber(watch[2] or '') or 0
if nowMs < lastMs or nowMs - lastMs > tonumber(ARGV[2]) then sinceMs = nowMs end
if sinceMs < bornMs or sinceMs > nowMs then sinceMs = bornMs end
redis.call('HSET', KEYS[2], 'last_ms', whole(nowMs), 'since_ms', whole(sinceMs))

-- What was heard at a time that has not come yet was heard before the clock was set.
local function silence(heard)
  local atMs, entry = string.match(heard, '^(%d+) (.*)$')
  atMs = tonumber(atMs)
  if atMs > nowMs or atMs < sinceMs then atMs = sinceMs end
  return nowMs - atMs, entry
end
`;

/** Adds id, boot, startedAt, entry. */
const announceLua = `${watchLua}
local heard = redis.call('HGET', KEYS[1], ARGV[4])
if heard then
  local silentMs, entry = silence(heard)
  local known = cjson.decode(entry)
  local startedAt = tonumber(ARGV[6])
  local isLater = known.startedAt > startedAt or (known.startedAt == startedAt and known.boot > ARGV[5])
  -- Which began later, their own clocks say, and may be wrong: one that is silent keeps nobody out.
  local heedMs = math.min(tonumber(ARGV[2]), tonumber(ARGV[3]))
  if known.boot ~= ARGV[5] and isLater and silentMs <= heedMs then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[4], whole(nowMs) .. ' ' .. ARGV[7])
return 1
`;

const listLua = `${watchLua}
local listed = {nowMs - sinceMs}
local workers = redis.call('HGETALL', KEYS[1])
for index = 1, #workers, 2 do
  local silentMs, entry = silence(workers[index + 1])
  if silentMs > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], workers[index])
  else
    listed[#listed + 1] = silentMs
    listed[#listed + 1] = entry
  end
end
return listed
`;

/** KEYS: workers. ARGV: id, boot. */
const withdrawLua = `
local heard = redis.call('HGET', KEYS[1], ARGV[1])
if heard and cjson.decode(string.match(heard, '^%d+ (.*)$')).boot == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
`;

export class RedisWorkerRegistry implements WorkerRegistry {
  readonly #keys: readonly [string, string, string];
  readonly #options: RedisWorkerRegistryOptions;
  readonly #announce: RedisScript;
  readonly #withdraw: RedisScript;
  readonly #list: RedisScript;

  constructor(connection: RedisConnection, options: Partial<RedisWorkerRegistryOptions> = {}) {
    const { keyPrefix } = connection;
    this.#keys = [fleetKey(keyPrefix, 'workers'), fleetKey(keyPrefix, 'watch'), fleetKey(keyPrefix, 'born')];
    this.#options = { ...defaults, ...options };
    this.#announce = connection.script(announceLua);
    this.#withdraw = connection.script(withdrawLua);
    this.#list = connection.script(listLua);
  }

  async announce(entry: WorkerEntry): Promise<boolean> {
    const args = [...this.#watchArguments(), entry.id, entry.boot, entry.startedAt, JSON.stringify(entry)];
    return (await this.#announce(this.#keys, args)) === 1;
  }

  async withdraw(id: WorkerId, boot: string): Promise<void> {
    await this.#withdraw([this.#keys[0]], [id, boot]);
  }

  async list(): Promise<KnownWorkers> {
    const [knownForMs, ...listed] = (await this.#list(this.#keys, this.#watchArguments())) as [
      number,
      ...(number | string)[],
    ];
    const workers = [];
    for (let index = 0; index < listed.length; index += 2) {
      const entry = JSON.parse(String(listed[index + 1])) as WorkerEntry;
      workers.push({ ...entry, silentMs: Number(listed[index]) });
    }
    return { workers: workers.toSorted((a, b) => (a.id < b.id ? -1 : 1)), knownForMs };
  }

  #watchArguments(): [string, number, number] {
    return [freshMark(), this.#options.gapMs, this.#options.forgetAfterMs];
  }
}
