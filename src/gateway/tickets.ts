// Tickets: a browser's way to open one WebSocket without putting a token where it would be kept.
// Each is good once and for seconds, at every gateway; only its hash leaves this file.

import { createHash, randomBytes } from 'node:crypto';
import type { TicketLimits, TicketStore } from '../contracts/ticket-store.ts';
import type { Clock } from '../core/clock.ts';
import type { Principal } from '../http/bearer.ts';

export class Tickets {
  readonly #store: TicketStore;
  readonly #clock: Clock;
  readonly #limits: TicketLimits;

  constructor(store: TicketStore, clock: Clock, limits: TicketLimits) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = limits;
  }

  async issue(principal: Principal): Promise<{ readonly ticket: string; readonly expiresAt: number }> {
    const ticket = randomBytes(24).toString('base64url');
    const expiresAt = this.#clock.now() + this.#limits.ttlMs;
    await this.#store.put(hashOf(ticket), { tenant: principal.tenant, name: principal.name }, this.#limits);
    return { ticket, expiresAt };
  }

  /** Who it was made for; null when it is unknown, used or too old. Used from now on. */
  redeem(ticket: string): Promise<Principal | null> {
    return this.#store.take(hashOf(ticket));
  }
}

function hashOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('hex');
}
