// GET /api/v1/usage: what the caller's tenant consumed.

import { within } from '../../core/deadline.ts';
import { operations } from '../../api/operations.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { UsageReader } from '../usage-reader.ts';

const minuteMs = 60_000;
const defaultStretchMs = 30 * 24 * 60 * 60 * 1000;
/** The name of the default model is worth a short wait, not an error. */
const modelDeadlineMs = 2000;

export function registerUsage(gear: Gear, { app }: HttpServer): void {
  const reader = new UsageReader(gear);
  registerOperation(app, gear, operations.readUsage, async ({ query, request }) => {
    // To the minute: who asks at about the same time gets the same answer.
    const defaultSinceMs = Math.floor(gear.clock.now() / minuteMs) * minuteMs - defaultStretchMs;
    const sinceMs = query.since === undefined ? defaultSinceMs : Date.parse(query.since);
    return reader.read(principalOf(request).tenant, sinceMs, await defaultModelOf(gear));
  });
}

async function defaultModelOf(gear: Gear): Promise<string | null> {
  if (gear.models === null) return null;
  const status = await within(gear.clock, modelDeadlineMs, gear.models(), null).catch(() => null);
  return status?.models.find((model) => model.isDefault)?.id ?? null;
}
