// Adds up what a tenant consumed, from the records. Reads no more than a bounded number of them, and
// one reading at a time for each tenant: who asks meanwhile gets the same answer.

import { UsageSum, type UsageReport } from '../api/usage-report.ts';
import type { Page } from '../contracts/records.ts';
import type { TenantId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Gear } from './gateway-parts.ts';

export type UsageBounds = { readonly sessions: number; readonly turns: number };

const defaultBounds: UsageBounds = { sessions: 5_000, turns: 20_000 };
const pageSize = 100;

type Parts = Pick<Gear, 'records' | 'clock'>;

export class UsageReader {
  readonly #parts: Parts;
  readonly #bounds: UsageBounds;
  readonly #readings = new Map<string, Promise<UsageReport>>();

  constructor(parts: Parts, bounds: UsageBounds = defaultBounds) {
    this.#parts = parts;
    this.#bounds = bounds;
  }

  /** `defaultModel`: of turns for which nobody chose one. */
  read(tenant: TenantId, sinceMs: number, defaultModel: string | null): Promise<UsageReport> {
    const key = JSON.stringify([tenant, sinceMs]);
    const running = this.#readings.get(key);
    if (running !== undefined) return running;
    const reading = this.#sum(tenant, sinceMs, defaultModel).finally(() => this.#readings.delete(key));
    this.#readings.set(key, reading);
    return reading;
  }

  async #sum(tenant: TenantId, sinceMs: number, defaultModel: string | null): Promise<UsageReport> {
    const { clock, records } = this.#parts;
    const sum = new UsageSum();
    const untilMs = clock.now();
    let sessionsLeft = this.#bounds.sessions;
    let turnsLeft = this.#bounds.turns;
    for await (const session of newestFirst<SessionRecord>((after) => records.sessions.list(tenant, page(after)))) {
      if (sessionsLeft === 0 || turnsLeft === 0) return sum.report(sinceMs, untilMs, false);
      sessionsLeft -= 1;
      // A session without a turn since then has none to count.
      if (session.lastAccessedAt < sinceMs) continue;
      for await (const turn of newestFirst<TurnRecord>((after) =>
        records.turns.list(tenant, session.id, page(after)),
      )) {
        if (turn.createdAt < sinceMs) break;
        if (turnsLeft === 0) return sum.report(sinceMs, untilMs, false);
        turnsLeft -= 1;
        const model = turn.model ?? session.model ?? defaultModel;
        sum.add({ model, createdAt: turn.createdAt, usage: turn.usage });
      }
    }
    return sum.report(sinceMs, untilMs, true);
  }
}

function page(after: string | null): { after: string | null; limit: number; order: 'desc' } {
  return { after, limit: pageSize, order: 'desc' };
}

async function* newestFirst<T extends { readonly id: string }>(
  list: (after: string | null) => Promise<Page<T>>,
): AsyncGenerator<T> {
  let after: string | null = null;
  for (;;) {
    const { data, hasMore }: Page<T> = await list(after);
    yield* data;
    after = data.at(-1)?.id ?? null;
    if (!hasMore || after === null) return;
    // Other requests get their turn between two pages, however fast the store is.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
