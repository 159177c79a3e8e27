// The tickets of one process.

import type { TicketHolder, TicketLimits, TicketStore } from '../../contracts/ticket-store.ts';
import type { Clock } from '../../core/clock.ts';
import type { TenantId } from '../../core/ids.ts';

type Held = { readonly holder: TicketHolder; readonly expiresMs: number };

export class MemoryTicketStore implements TicketStore {
  readonly #clock: Clock;
  /** Oldest first, as all live equally long. */
  readonly #byTenant = new Map<TenantId, Map<string, Held>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async put(hash: string, holder: TicketHolder, { ttlMs, perTenant }: TicketLimits): Promise<void> {
    const held = this.#byTenant.get(holder.tenant) ?? new Map<string, Held>();
    this.#byTenant.set(holder.tenant, held);
    this.#forgetOld(held, perTenant);
    held.set(hash, { holder, expiresMs: this.#clock.monotonicMs() + ttlMs });
  }

  async take(hash: string): Promise<TicketHolder | null> {
    for (const [tenant, held] of this.#byTenant) {
      const found = held.get(hash);
      if (found === undefined) continue;
      held.delete(hash);
      if (held.size === 0) this.#byTenant.delete(tenant);
      return found.expiresMs > this.#clock.monotonicMs() ? found.holder : null;
    }
    return null;
  }

  #forgetOld(held: Map<string, Held>, perTenant: number): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [hash, { expiresMs }] of held) {
      if (expiresMs > nowMs && held.size < perTenant) return;
      held.delete(hash);
    }
  }
}
