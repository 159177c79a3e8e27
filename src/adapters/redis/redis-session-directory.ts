// Leases in Redis, one key each, ended by the server. Remembers under which mark of the store each of its own
// was last confirmed: one that is gone under another mark was lost with the data, and did not end.

import type { Lease, SessionDirectory } from '../../contracts/session-directory.ts';
import type { Clock } from '../../core/clock.ts';
import type { SessionId, TenantId } from '../../core/ids.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { leaseKeys, leaseMarkKeys } from './redis-keys.ts';
import { boundTermLua, freshMark, storeAgeLua } from './store-age.ts';

type StoredLease = { readonly worker: string; readonly epoch: number; readonly ttl_ms: number };

const standingLua = `${boundTermLua}
local function standing(key)
  local text = redis.call('GET', key)
  if not text then return nil end
  local lease = cjson.decode(text)
  boundTerm(key, lease.ttl_ms)
  return lease, text
end
`;

/** KEYS: lease, mark. ARGV: lease, worker, epoch, ttl, fresh mark. */
const claimLua = `${storeAgeLua}${standingLua}
local _, mark = storeAge(KEYS[2], ARGV[5])
local held, text = standing(KEYS[1])
-- The holder may claim again with the epoch it has or a later one; an earlier one is a paused copy of it.
if held and not (held.worker == ARGV[2] and held.epoch <= tonumber(ARGV[3])) then return {0, mark, text} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return {1, mark}
`;

/** As claimLua, and ARGV[6]: the mark under which the caller last had the lease. */
const renewLua = `${storeAgeLua}${standingLua}
local _, mark = storeAge(KEYS[2], ARGV[5])
local held = standing(KEYS[1])
local isOurs = held and held.worker == ARGV[2] and held.epoch == tonumber(ARGV[3])
-- After a loss nothing is there, or what was there long ago: an epoch below one that was ours is over.
local wasLost = ARGV[6] ~= '' and ARGV[6] ~= mark
if not isOurs and not (wasLost and (not held or held.epoch < tonumber(ARGV[3]))) then return {0, mark} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return {1, mark}
`;

/** KEYS: lease. ARGV: worker, epoch. */
const releaseLua = `${standingLua}
local held = standing(KEYS[1])
if held and held.worker == ARGV[1] and held.epoch == tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) end
`;

const lookupLua = `${standingLua}
local _, text = standing(KEYS[1])
return text or false
`;

const ageLua = `${storeAgeLua}
local nowMs, _, atMs = storeAge(KEYS[1], ARGV[1])
return nowMs - atMs
`;

type Confirmed = { readonly mark: string; readonly worker: string; readonly epoch: number; readonly atMs: number };

/** Leases that were lost without a word are swept out, whenever the map has doubled since the last sweep. */
const smallestSweep = 1_024;
const forgetAfterMs = 60 * 60_000;

export class RedisSessionDirectory implements SessionDirectory {
  readonly #keyPrefix: string;
  readonly #clock: Clock;
  readonly #claim: RedisScript;
  readonly #renew: RedisScript;
  readonly #release: RedisScript;
  readonly #lookup: RedisScript;
  readonly #age: RedisScript;
  readonly #confirmed = new Map<string, Confirmed>();
  #sweepAtSize = smallestSweep;

  constructor(connection: RedisConnection) {
    this.#keyPrefix = connection.keyPrefix;
    this.#clock = connection.clock;
    this.#claim = connection.script(claimLua);
    this.#renew = connection.script(renewLua);
    this.#release = connection.script(releaseLua);
    this.#lookup = connection.script(lookupLua);
    this.#age = connection.script(ageLua);
  }

  async claim(lease: Lease, ttlMs: number): Promise<Lease | null> {
    const keys = leaseKeys(this.#keyPrefix, lease);
    const args = [stored(lease, ttlMs), lease.worker, lease.epoch, ttlMs, freshMark()];
    const [isClaimed, mark, text] = (await this.#claim([keys.lease, keys.born], args)) as [number, string, string?];
    if (isClaimed === 1) this.#confirm(keys.lease, lease, mark);
    return text === undefined ? null : leaseOf(lease.tenant, lease.sessionId, text);
  }

  async renew(lease: Lease, ttlMs: number): Promise<boolean> {
    const keys = leaseKeys(this.#keyPrefix, lease);
    const known = this.#confirmed.get(keys.lease);
    const isKnown = known?.worker === lease.worker && known.epoch === lease.epoch;
    const args = [stored(lease, ttlMs), lease.worker, lease.epoch, ttlMs, freshMark(), isKnown ? known.mark : ''];
    const [isRenewed, mark] = (await this.#renew([keys.lease, keys.born], args)) as [number, string];
    if (isRenewed === 1) this.#confirm(keys.lease, lease, mark);
    else if (isKnown) this.#confirmed.delete(keys.lease);
    return isRenewed === 1;
  }

  async release(lease: Lease): Promise<void> {
    const { lease: key } = leaseKeys(this.#keyPrefix, lease);
    const known = this.#confirmed.get(key);
    if (known?.worker === lease.worker && known.epoch === lease.epoch) this.#confirmed.delete(key);
    await this.#release([key], [lease.worker, lease.epoch]);
  }

  async lookup(tenant: TenantId, sessionId: SessionId): Promise<Lease | null> {
    const text = (await this.#lookup([leaseKeys(this.#keyPrefix, { tenant, sessionId }).lease], [])) as string | null;
    return text === null ? null : leaseOf(tenant, sessionId, text);
  }

  /** The youngest of all marks: in a cluster each server may lose its own part. */
  async knownForMs(): Promise<number> {
    const ages = leaseMarkKeys(this.#keyPrefix).map((key) => this.#age([key], [freshMark()]));
    return Math.min(...((await Promise.all(ages)) as number[]));
  }

  #confirm(key: string, { epoch, worker }: Lease, mark: string): void {
    const atMs = this.#clock.monotonicMs();
    this.#confirmed.set(key, { mark, worker, epoch, atMs });
    if (this.#confirmed.size < this.#sweepAtSize) return;
    for (const [known, confirmed] of this.#confirmed) {
      if (confirmed.atMs + forgetAfterMs < atMs) this.#confirmed.delete(known);
    }
    this.#sweepAtSize = Math.max(smallestSweep, this.#confirmed.size * 2);
  }
}

function stored({ epoch, worker }: Lease, ttlMs: number): string {
  return JSON.stringify({ worker, epoch, ttl_ms: ttlMs } satisfies StoredLease);
}

function leaseOf(tenant: TenantId, sessionId: SessionId, text: string): Lease {
  const { epoch, worker } = JSON.parse(text) as StoredLease;
  return { tenant, sessionId, worker, epoch };
}
