// What a job asks of the agent, as the resources of jobs and schedules show it. Asking is in jobs.ts.

import * as z from 'zod';
import type { JobSpec } from '../core/job.ts';
import { reasoningEfforts } from '../core/turn.ts';

/** What is asked of the agent, in the resource of a job and in that of a schedule. */
export const jobSpecFields = {
  prompt: z.string(),
  model: z.string().nullable(),
  effort: z.enum(reasoningEfforts).nullable(),
  output_schema: z.record(z.string(), z.unknown()).nullable(),
  timeout_ms: z.int(),
  queue_timeout_ms: z.int(),
  retry: z.object({ max_attempts: z.int(), first_delay_ms: z.int(), longest_delay_ms: z.int() }),
  metadata: z.record(z.string(), z.string()),
  webhook: z.object({ url: z.string() }).nullable(),
};

export function toJobSpecFields(spec: JobSpec): z.output<z.ZodObject<typeof jobSpecFields>> {
  const { outputSchema, retry, webhook } = spec;
  return {
    prompt: spec.prompt,
    model: spec.model,
    effort: spec.effort,
    output_schema: outputSchema === null ? null : { ...outputSchema },
    timeout_ms: spec.timeoutMs,
    queue_timeout_ms: spec.queueTimeoutMs,
    retry: {
      max_attempts: retry.maxAttempts,
      first_delay_ms: retry.firstDelayMs,
      longest_delay_ms: retry.longestDelayMs,
    },
    metadata: { ...spec.metadata },
    webhook: webhook === null ? null : { url: webhook.url },
  };
}

/** The receiver with its secret, in the answer to the request that brought it. */
export const shownReceiverSchema = z
  .object({ url: z.string(), secret: z.string().describe('Shown in this answer alone.') })
  .nullable();

/** How much room it takes in a page. */
export function charactersOfSpec({ metadata, outputSchema, prompt }: JobSpec): number {
  return prompt.length + JSON.stringify([outputSchema, metadata]).length;
}
