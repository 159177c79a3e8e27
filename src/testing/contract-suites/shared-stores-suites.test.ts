// The suites of what the roles of a cluster share must catch what they are for: each adapter here is right but
// for one fault.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryLeadership } from '../../adapters/memory/memory-leadership.ts';
import { MemoryRateLimiter } from '../../adapters/memory/memory-rate-limiter.ts';
import { MemoryTicketStore } from '../../adapters/memory/memory-ticket-store.ts';
import { MemoryWorkerRegistry } from '../../adapters/memory/memory-worker-registry.ts';
import type { RateAnswer, RateKind } from '../../contracts/rate-limiter.ts';
import type { TicketHolder, TicketLimits } from '../../contracts/ticket-store.ts';
import type { WorkerEntry } from '../../contracts/worker-registry.ts';
import { FakeClock } from '../fake-clock.ts';
import { type ContractCheck, failedChecks } from './contract-suite.ts';
import { leadershipChecks } from './leadership-suite.ts';
import { rateLimiterChecks } from './rate-limiter-suite.ts';
import { ticketStoreChecks } from './ticket-store-suite.ts';
import { workerRegistryChecks } from './worker-registry-suite.ts';

type PassTime = { readonly passTime: (ms: number) => Promise<void> };

function brokenFails<T>(
  fault: string,
  checks: readonly ContractCheck<T & PassTime>[],
  create: (clock: FakeClock) => T,
  title: RegExp,
): void {
  test(`${fault} does not pass`, async () => {
    const failed = await failedChecks(checks, async () => {
      const clock = new FakeClock();
      const adapter = { ...create(clock), passTime: async (ms: number): Promise<void> => clock.advance(ms) };
      return { adapter, close: async () => {} };
    });
    assert.ok(
      failed.some((check) => title.test(check)),
      failed.join('; '),
    );
  });
}

class LookingTickets extends MemoryTicketStore {
  override async put(hash: string, holder: TicketHolder, limits: TicketLimits): Promise<void> {
    this.#holders.set(hash, holder);
    await super.put(hash, holder, limits);
  }
  override async take(hash: string): Promise<TicketHolder | null> {
    const taken = await super.take(hash);
    return taken ?? this.#holders.get(hash) ?? null;
  }
  readonly #holders = new Map<string, TicketHolder>();
}

class HoardingTickets extends MemoryTicketStore {
  override put(hash: string, holder: TicketHolder, limits: TicketLimits): Promise<void> {
    return super.put(hash, holder, { ...limits, perTenant: 1_000 });
  }
}

brokenFails(
  'a ticket store that gives a ticket twice',
  ticketStoreChecks,
  (clock) => ({ tickets: new LookingTickets(clock) }),
  /taken once/,
);
brokenFails(
  'a ticket store that keeps all',
  ticketStoreChecks,
  (clock) => ({ tickets: new HoardingTickets(clock) }),
  /give way/,
);

class PunishingLimiter extends MemoryRateLimiter {
  #punished = 0;
  override async take(tenant: string, kind: RateKind, perMinute: number): Promise<RateAnswer> {
    if (this.#punished > 0) {
      this.#punished -= 1;
      return { allowed: false, retryAfterMs: 4_000, limit: perMinute, remaining: 0 };
    }
    const answer = await super.take(tenant, kind, perMinute);
    if (!answer.allowed) this.#punished = 100;
    return answer;
  }
}

class OneForAllLimiter extends MemoryRateLimiter {
  override take(_tenant: string, kind: RateKind, perMinute: number): Promise<RateAnswer> {
    return super.take('all', kind, perMinute);
  }
}

brokenFails(
  'a rate limiter whose refusals cost something',
  rateLimiterChecks,
  (clock) => ({ limiter: new PunishingLimiter(clock) }),
  /cost nothing/,
);
brokenFails(
  'a rate limiter that ignores the tenant',
  rateLimiterChecks,
  (clock) => ({ limiter: new OneForAllLimiter(clock) }),
  /against one another/,
);

class StickyLeadership extends MemoryLeadership {
  override async resign(): Promise<void> {}
}

brokenFails(
  'a leadership that nobody can leave',
  leadershipChecks,
  (clock) => ({ leadership: new StickyLeadership(clock) }),
  /resigns/,
);
brokenFails(
  'a leadership that never ends',
  leadershipChecks,
  () => ({ leadership: new MemoryLeadership(new FakeClock()) }),
  /does not ask again/,
);

class ObedientRegistry extends MemoryWorkerRegistry {
  override async announce(entry: WorkerEntry): Promise<boolean> {
    for (const { id, boot } of (await this.list()).workers) if (id === entry.id) await this.withdraw(id, boot);
    return super.announce(entry);
  }
}

class CarelessRegistry extends MemoryWorkerRegistry {
  override async withdraw(id: string): Promise<void> {
    for (const { boot } of (await this.list()).workers) await super.withdraw(id, boot);
  }
}

const forgetAfterMs = 60_000;
brokenFails(
  'a registry that lets an earlier boot come back',
  workerRegistryChecks,
  (clock) => ({ registry: new ObedientRegistry(clock), forgetAfterMs }),
  /later boot/,
);
brokenFails(
  'a registry from which any boot withdraws any other',
  workerRegistryChecks,
  (clock) => ({ registry: new CarelessRegistry(clock), forgetAfterMs }),
  /withdraws/,
);
brokenFails(
  'a registry that never forgets',
  workerRegistryChecks,
  () => ({ registry: new MemoryWorkerRegistry(new FakeClock()), forgetAfterMs }),
  /silent too long/,
);
