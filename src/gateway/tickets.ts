// Tickets: a browser's way to open one WebSocket without putting a token where it would be kept.
// Each is good once and for seconds; only hashes are held.

import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import type { TenantId } from '../core/ids.ts';
import type { Principal } from '../http/bearer.ts';

type Held = { readonly principal: Principal; readonly expiresMs: number };

export type TicketLimits = { readonly ttlMs: number; readonly perTenant: number };

export class Tickets {
  readonly #clock: Clock;
  readonly #limits: TicketLimits;
  /** Oldest first, as all live equally long. */
  readonly #byTenant = new Map<TenantId, Map<string, Held>>();

  constructor(clock: Clock, limits: TicketLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  issue(principal: Principal): { readonly ticket: string; readonly expiresAt: number } {
    const held = this.#byTenant.get(principal.tenant) ?? new Map<string, Held>();
    this.#byTenant.set(principal.tenant, held);
    this.#forgetOld(held);
    const ticket = randomBytes(24).toString('base64url');
    held.set(hashOf(ticket), { principal, expiresMs: this.#clock.monotonicMs() + this.#limits.ttlMs });
    return { ticket, expiresAt: this.#clock.now() + this.#limits.ttlMs };
  }

  /** Who it was made for; null when it is unknown, used or too old. Used from now on. */
  redeem(ticket: string): Principal | null {
    const hash = hashOf(ticket);
    for (const held of this.#byTenant.values()) {
      const found = held.get(hash);
      if (found === undefined) continue;
      held.delete(hash);
      return found.expiresMs > this.#clock.monotonicMs() ? found.principal : null;
    }
    return null;
  }

  #forgetOld(held: Map<string, Held>): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [hash, { expiresMs }] of held) {
      if (expiresMs > nowMs && held.size < this.#limits.perTenant) return;
      held.delete(hash);
    }
  }
}

function hashOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('hex');
}
