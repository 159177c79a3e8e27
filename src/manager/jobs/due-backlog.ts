// Jobs that are known to be due, places only and boundedly many: the oldest of each tenant, given out one tenant
// after the other. What did not fit is remembered as a place to read on from.

import type { FleetPlace } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';

type Queue = {
  /** The oldest first. */
  readonly places: FleetPlace[];
  /** The youngest that was kept: what is older is here, or was given out. null: none was. */
  lastKept: FleetPlace | null;
  /** kept: all that were seen; cut: there are more behind `lastKept`; filling: those are being read. */
  state: 'kept' | 'cut' | 'filling';
};

export type BacklogBounds = { readonly mostPlaces: number; readonly mostPerTenant: number };

const defaultBounds: BacklogBounds = { mostPlaces: 5_000, mostPerTenant: 100 };

export class DueBacklog {
  readonly #bounds: BacklogBounds;
  readonly #isElsewhere: (place: FleetPlace) => boolean;
  /** In the order of their turns. */
  readonly #queues = new Map<TenantId, Queue>();
  readonly #names = new Set<string>();
  readonly #heldUntilMs = new Map<TenantId, number>();
  #wasTenantLeftOut = false;
  #isFillingAll = false;

  /** `isElsewhere`: it was given out, and stays known to whoever has it. */
  constructor(bounds: BacklogBounds = defaultBounds, isElsewhere: (place: FleetPlace) => boolean = () => false) {
    this.#bounds = bounds;
    this.#isElsewhere = isElsewhere;
  }

  get size(): number {
    return this.#names.size;
  }

  /** One that is known already stays where it is. `isNew`: from the end of the list, not from reading on. */
  add(place: FleetPlace, isNew: boolean): void {
    const name = placeName(place);
    const known = this.#queues.get(place.tenant);
    if (this.#names.has(name) || known?.state === 'cut' || this.#isElsewhere(place)) return;
    // There are older ones to come, and then this one again.
    if (isNew && known?.state === 'filling') return;
    const queue = known ?? { places: [], lastKept: null, state: 'kept' };
    if (queue.places.length >= this.#bounds.mostPerTenant || !this.#hasRoomFor(queue)) {
      if (known === undefined) this.#wasTenantLeftOut = true;
      else known.state = 'cut';
      return;
    }
    if (known === undefined) this.#queues.set(place.tenant, queue);
    queue.places.push(place);
    queue.lastKept = place;
    this.#names.add(name);
  }

  has(place: FleetPlace): boolean {
    return this.#names.has(placeName(place));
  }

  /** It was given out before: of its tenant it is the next. */
  giveBack(place: FleetPlace): void {
    if (this.has(place)) return;
    const known = this.#queues.get(place.tenant);
    if (known === undefined) this.#queues.set(place.tenant, { places: [place], lastKept: place, state: 'kept' });
    else known.places.unshift(place);
    this.#names.add(placeName(place));
  }

  /** Some that were given out are known no more: the list is to be read from its beginning. */
  readAgain(): void {
    this.#wasTenantLeftOut = true;
  }

  /** The oldest of the tenant whose turn it is; null when none is known of those that need not wait. */
  take(nowMs: number): FleetPlace | null {
    for (const [tenant, queue] of this.#queues) {
      if ((this.#heldUntilMs.get(tenant) ?? -Infinity) > nowMs) continue;
      const place = queue.places.shift();
      if (place === undefined) continue;
      this.#names.delete(placeName(place));
      this.#queues.delete(tenant);
      if (queue.places.length > 0 || queue.state !== 'kept') this.#queues.set(tenant, queue);
      return place;
    }
    return null;
  }

  /** Nothing of that tenant is given out before then. By a clock that only goes forward, as in `take`. */
  hold(tenant: TenantId, untilMs: number, nowMs: number): void {
    for (const [held, endsMs] of this.#heldUntilMs) if (endsMs <= nowMs) this.#heldUntilMs.delete(held);
    this.#heldUntilMs.set(tenant, untilMs);
  }

  /** Whether some tenant has more than is known, and little of that is left. */
  get isHungry(): boolean {
    return this.#isTenantMissed() || this.#hungry().length > 0;
  }

  /** From where to read on for those who have little left: behind this place, or from the beginning. */
  beginFilling(): FleetPlace | null {
    const hungry = this.#hungry();
    for (const queue of hungry) queue.state = 'filling';
    const isMissed = this.#isTenantMissed();
    if (isMissed) {
      this.#wasTenantLeftOut = false;
      this.#isFillingAll = true;
    }
    const places = hungry.map(({ lastKept }) => lastKept);
    return isMissed ? null : places.reduce((a, b) => (a === null || b === null ? null : isBefore(b, a) ? b : a));
  }

  get isFilling(): boolean {
    return this.#isFillingAll || [...this.#queues.values()].some(({ state }) => state === 'filling');
  }

  /** The list was read to its end: there was no more. */
  endFilling(): void {
    this.#isFillingAll = false;
    for (const [tenant, queue] of this.#queues) {
      if (queue.state === 'filling') queue.state = 'kept';
      if (queue.state === 'kept' && queue.places.length === 0) this.#queues.delete(tenant);
    }
  }

  #hungry(): readonly Queue[] {
    const few = Math.ceil(this.#bounds.mostPerTenant / 10);
    return [...this.#queues.values()].filter(({ places, state }) => state === 'cut' && places.length < few);
  }

  #isTenantMissed(): boolean {
    return this.#wasTenantLeftOut && this.size < this.#bounds.mostPlaces / 2;
  }

  /** Where all places are taken, who has most gives one up for who has less. */
  #hasRoomFor(queue: Queue): boolean {
    if (this.size < this.#bounds.mostPlaces) return true;
    let longest = queue;
    for (const other of this.#queues.values()) if (other.places.length > longest.places.length) longest = other;
    if (longest.places.length < queue.places.length + 2) return false;
    const youngest = longest.places.pop();
    if (youngest === undefined) return false;
    this.#names.delete(placeName(youngest));
    longest.lastKept = longest.places.at(-1) ?? null;
    longest.state = 'cut';
    return true;
  }
}

export function placeName({ id, tenant }: Pick<FleetPlace, 'tenant' | 'id'>): string {
  return JSON.stringify([tenant, id]);
}

export function isBefore(a: FleetPlace, b: FleetPlace): boolean {
  if (a.at !== b.at) return a.at < b.at;
  return a.id === b.id ? a.tenant < b.tenant : a.id < b.id;
}
