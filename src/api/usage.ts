// Consumption as the wire has it, everywhere the same.

import * as z from 'zod';
import type { Usage } from '../core/usage.ts';

export const usageSchema = z
  .object({
    input_tokens: z.int(),
    cached_input_tokens: z.int(),
    output_tokens: z.int(),
    reasoning_output_tokens: z.int(),
    cost_usd: z.number().nullable().describe('null while no price is known for the model.'),
  })
  .meta({ id: 'Usage' });
export type UsageOnWire = z.output<typeof usageSchema>;

export function toUsage(usage: Usage): UsageOnWire {
  return {
    input_tokens: usage.inputTokens,
    cached_input_tokens: usage.cachedInputTokens,
    output_tokens: usage.outputTokens,
    reasoning_output_tokens: usage.reasoningOutputTokens,
    cost_usd: usage.costUsd,
  };
}
