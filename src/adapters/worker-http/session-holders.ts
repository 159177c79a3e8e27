// Who holds a session, as the directory says; while it does not answer, as it was last known.

import type { SessionDirectory } from '../../contracts/session-directory.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';

const lookupDeadlineMs = 2000;
const mostRemembered = 10_000;

export class SessionHolders {
  readonly #directory: Pick<SessionDirectory, 'lookup'>;
  readonly #clock: Clock;
  /** In the order of their last use. */
  readonly #remembered = new Map<string, WorkerId>();

  constructor(directory: Pick<SessionDirectory, 'lookup'>, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  /** null when nobody does. Rejects with `store_unavailable` when nobody can say. */
  async of(key: SessionKey): Promise<WorkerId | null> {
    try {
      const lookup = this.#directory.lookup(key.tenant, key.sessionId);
      const lease = await within(this.#clock, lookupDeadlineMs, lookup, 'late');
      if (lease === 'late') throw new ServiceError('store_unavailable');
      if (lease === null) this.#remembered.delete(nameOf(key));
      else this.remember(key, lease.worker);
      return lease?.worker ?? null;
    } catch (error) {
      const last = this.#remembered.get(nameOf(key));
      if (last === undefined) throw error;
      return last;
    }
  }

  remember(key: SessionKey, worker: WorkerId): void {
    const name = nameOf(key);
    this.#remembered.delete(name);
    this.#remembered.set(name, worker);
    if (this.#remembered.size <= mostRemembered) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }
}

function nameOf({ sessionId, tenant }: SessionKey): string {
  return `${tenant}/${sessionId}`;
}
