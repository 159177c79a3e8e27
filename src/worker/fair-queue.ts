// Who is next when several want the same: tenants take turns, and within a tenant the first come is
// the first served. Entering, leaving and taking cost the same however many wait.

import type { TenantId } from '../core/ids.ts';

export type Place<T> = {
  readonly tenant: TenantId;
  readonly item: T;
  /** null once it has left. */
  line: Line<T> | null;
  before: Place<T> | null;
  behind: Place<T> | null;
};

type Line<T> = { readonly tenant: TenantId; first: Place<T> | null; last: Place<T> | null; length: number };

export class FairQueue<T> {
  /** Tenants that wait, in the order of their turns: who was served goes to the end. */
  readonly #lines = new Map<TenantId, Line<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  enter(tenant: TenantId, item: T): Place<T> {
    let line = this.#lines.get(tenant);
    if (line === undefined) {
      line = { tenant, first: null, last: null, length: 0 };
      this.#lines.set(tenant, line);
    }
    const place: Place<T> = { tenant, item, line, before: line.last, behind: null };
    if (line.last === null) line.first = place;
    else line.last.behind = place;
    line.last = place;
    line.length++;
    this.#size++;
    return place;
  }

  /** false when it had left already. */
  leave(place: Place<T>): boolean {
    const { line, before, behind } = place;
    if (line === null) return false;
    if (before === null) line.first = behind;
    else before.behind = behind;
    if (behind === null) line.last = before;
    else behind.before = before;
    place.line = null;
    line.length--;
    this.#size--;
    if (line.length === 0) this.#lines.delete(line.tenant);
    return true;
  }

  /** Takes the next one out, with whose it is; null when nobody waits. */
  take(): { readonly tenant: TenantId; readonly item: T } | null {
    for (const line of this.#lines.values()) {
      if (line.first === null) continue;
      const { first } = line;
      this.#lines.delete(line.tenant);
      if (line.length > 1) this.#lines.set(line.tenant, line);
      this.leave(first);
      return first;
    }
    return null;
  }

  /** The place that one who entered now would have, 1 for the next. */
  placeOfNewcomer(tenant: TenantId): number {
    const mine = this.#lines.get(tenant)?.length ?? 0;
    let ahead = mine;
    let isBefore = true;
    for (const line of this.#lines.values()) {
      if (line.tenant === tenant) isBefore = false;
      else ahead += Math.min(line.length, isBefore ? mine + 1 : mine);
    }
    return ahead + 1;
  }

  tenants(): Iterable<TenantId> {
    return this.#lines.keys();
  }

  /** All who wait, in the order in which they would be taken. */
  inOrder(): T[] {
    const order: T[] = [];
    let heads = [...this.#lines.values()].map((line) => line.first);
    while (heads.length > 0) {
      const next: (Place<T> | null)[] = [];
      for (const place of heads) {
        if (place === null) continue;
        order.push(place.item);
        if (place.behind !== null) next.push(place.behind);
      }
      heads = next;
    }
    return order;
  }
}
