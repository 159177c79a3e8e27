// What a tenant consumed in a stretch of time, in total, by model and by day.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { addUsage, noUsage, type Usage } from '../core/usage.ts';
import { timestampSchema } from './names.ts';
import { toUsage, usageSchema } from './usage.ts';

export const usageQuerySchema = z.strictObject({
  since: z
    .union([z.iso.datetime({ offset: true }), z.iso.date()], { error: 'must be a date or a time, as RFC 3339 has it' })
    .optional()
    .describe('From when on; a date is its midnight in UTC. Absent: the last 30 days.'),
});

const countedUsageFields = { turns: z.int(), usage: usageSchema };

export const usageReportSchema = z
  .object({
    object: z.literal('usage_report'),
    since: timestampSchema,
    until: timestampSchema,
    total: z.object(countedUsageFields),
    by_model: z.array(
      z.object({ model: z.string().nullable().describe('null when it is not known any more.'), ...countedUsageFields }),
    ),
    by_day: z.array(z.object({ day: z.string().meta({ format: 'date' }), ...countedUsageFields })),
    is_complete: z
      .boolean()
      .describe('false when there was more than one answer looks at: the newest sessions and turns are in it.'),
  })
  .meta({ id: 'UsageReport', description: 'Made from the records of turns: what was erased is not in it.' });
export type UsageReport = z.output<typeof usageReportSchema>;

type Counted = { turns: number; usage: Usage };

export type CountedTurn = { readonly model: string | null; readonly createdAt: number; readonly usage: Usage };

/** Adds up turns as they come; what it holds grows with models and days only. */
export class UsageSum {
  readonly #total: Counted = nothingYet();
  readonly #byModel = new Map<string | null, Counted>();
  readonly #byDay = new Map<string, Counted>();

  add(turn: CountedTurn): void {
    const day = toTimestamp(turn.createdAt).slice(0, 'YYYY-MM-DD'.length);
    for (const counted of [this.#total, entryOf(this.#byModel, turn.model), entryOf(this.#byDay, day)]) {
      counted.turns += 1;
      counted.usage = addUsage(counted.usage, turn.usage);
    }
  }

  report(sinceMs: number, untilMs: number, isComplete: boolean): UsageReport {
    return {
      object: 'usage_report',
      since: toTimestamp(sinceMs),
      until: toTimestamp(untilMs),
      total: toCounted(this.#total),
      by_model: [...this.#byModel]
        .sort(([, a], [, b]) => b.turns - a.turns)
        .map(([model, counted]) => ({ model, ...toCounted(counted) })),
      by_day: [...this.#byDay]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([day, counted]) => ({ day, ...toCounted(counted) })),
      is_complete: isComplete,
    };
  }
}

function nothingYet(): Counted {
  return { turns: 0, usage: noUsage };
}

function entryOf<K>(entries: Map<K, Counted>, key: K): Counted {
  const entry = entries.get(key) ?? nothingYet();
  entries.set(key, entry);
  return entry;
}

function toCounted({ turns, usage }: Counted): { turns: number; usage: ReturnType<typeof toUsage> } {
  return { turns, usage: toUsage(usage) };
}
