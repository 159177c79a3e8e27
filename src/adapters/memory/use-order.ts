// Sessions by when they were last used, with what each weighs: who is to go first when memory is full.

import type { SessionId, TenantId } from '../../core/ids.ts';
import { tenantKey } from './tenant-key.ts';

export type UsedSession = { readonly tenant: TenantId; readonly id: SessionId };
/** A session is used, and heavier by so many characters. */
export type OnUse = (tenant: TenantId, id: SessionId, addedCharacters: number) => void;
type Entry = UsedSession & { characters: number };

export class UseOrder {
  /** In the order of use: a Map keeps the order of insertion. */
  readonly #entries = new Map<string, Entry>();
  #characters = 0;

  get sessions(): number {
    return this.#entries.size;
  }

  get characters(): number {
    return this.#characters;
  }

  /** Used now, and heavier by so many characters. */
  use(tenant: TenantId, id: SessionId, addedCharacters: number): void {
    const place = tenantKey(tenant, id);
    const entry = this.#entries.get(place) ?? { tenant, id, characters: 0 };
    entry.characters += addedCharacters;
    this.#characters += addedCharacters;
    this.#entries.delete(place);
    this.#entries.set(place, entry);
  }

  forget(tenant: TenantId, id: SessionId): void {
    const place = tenantKey(tenant, id);
    this.#characters -= this.#entries.get(place)?.characters ?? 0;
    this.#entries.delete(place);
  }

  /** The one used longest ago first. */
  longestUnused(): Iterable<UsedSession> {
    return this.#entries.values();
  }
}
