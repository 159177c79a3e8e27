// Secrets that sign what is sent to receivers.

import { randomBytes } from 'node:crypto';
import { webhookSecretPrefix } from '../api/webhook-fields.ts';

const secretBytes = 32;

export function mintWebhookSecret(): string {
  return `${webhookSecretPrefix}${randomBytes(secretBytes).toString('base64')}`;
}
