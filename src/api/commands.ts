// One-off commands in the workspace of a session, under its sandbox and without the model.

import * as z from 'zod';
import { idSchema } from './names.ts';
import { textSchema } from './text.ts';

const maxCommandCodePoints = 131_072;
const maxArguments = 1024;
/** An HTTP request waits for the command, so it cannot take longer than load balancers do. */
export const maxCommandTimeoutMs = 600_000;
export const defaultCommandTimeoutMs = 60_000;

const wordSchema = textSchema({ max: maxCommandCodePoints }).refine((text) => !text.includes('\0'), {
  error: 'must not have a NUL: no command line can',
});

export const commandRequestSchema = z
  .strictObject({
    command: z
      .union([
        wordSchema.refine((text) => text.trim() !== '', { error: 'must not be empty' }),
        z.array(wordSchema).min(1).max(maxArguments),
      ])
      .describe('A line for /bin/sh, or the words of a command.'),
    timeout_ms: z.int().min(1).max(maxCommandTimeoutMs).nullish(),
  })
  .meta({ id: 'CommandRequest' });
export type CommandRequestOnWire = z.output<typeof commandRequestSchema>;

export type CommandSpec = { readonly command: readonly string[]; readonly timeoutMs: number };

export function toCommandSpec(request: CommandRequestOnWire): CommandSpec {
  return {
    command: typeof request.command === 'string' ? ['/bin/sh', '-c', request.command] : request.command,
    timeoutMs: request.timeout_ms ?? defaultCommandTimeoutMs,
  };
}

export const commandResponseSchema = z
  .object({
    session_id: idSchema,
    exit_code: z.int().describe("The command's own; 124 when it did not end within its timeout_ms."),
    stdout: z.string(),
    stderr: z.string(),
    execution_time_ms: z.int(),
  })
  .meta({ id: 'CommandResponse' });
export type CommandResponse = z.output<typeof commandResponseSchema>;
