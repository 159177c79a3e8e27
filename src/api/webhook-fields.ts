// Fields that a webhook and the receiver of one job have in common.

import * as z from 'zod';

const maxReceiverUrlCharacters = 2_048;

/** Whether it may be delivered to is more than its form: see receiver-url.ts. */
export const receiverUrlSchema = z
  .string()
  .min(1, { error: 'must not be empty' })
  .max(maxReceiverUrlCharacters, { error: `must have at most ${maxReceiverUrlCharacters} characters` })
  .meta({ format: 'uri' });

export const webhookSecretPrefix = 'whsec_';
const minSecretBytes = 24;
const maxSecretBytes = 64;

/** As Standard Webhooks has it. */
export const webhookSecretSchema = z
  .string()
  .refine(isWebhookSecret, {
    error: `must be ${webhookSecretPrefix} and then ${minSecretBytes} to ${maxSecretBytes} bytes in base64`,
  })
  .meta({ pattern: `^${webhookSecretPrefix}[A-Za-z0-9+/]{32,86}={0,2}$` });

function isWebhookSecret(text: string): boolean {
  const [, digits = '', padding = ''] = /^whsec_([A-Za-z0-9+/]{32,86})(={0,2})$/.exec(text) ?? [];
  const isWhole = digits !== '' && (digits.length + padding.length) % 4 === 0;
  const bytes = Math.floor((digits.length * 3) / 4);
  return isWhole && bytes >= minSecretBytes && bytes <= maxSecretBytes;
}
