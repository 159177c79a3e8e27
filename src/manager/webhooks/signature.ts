// Signatures as Standard Webhooks has them: who receives a delivery can tell that it is ours, whole, and of now.

import { createHmac } from 'node:crypto';
import { webhookSecretPrefix } from '../../api/webhook-fields.ts';

export type SignedMessage = {
  readonly id: string;
  /** When it is sent, not when what it tells happened. */
  readonly sentAtMs: number;
  readonly body: string;
};

/** One signature for each secret: while one replaces another, a receiver that knows either can check. */
export function signatureHeaders(
  { body, id, sentAtMs }: SignedMessage,
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(sentAtMs / 1_000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(
      secret.startsWith(webhookSecretPrefix) ? secret.slice(webhookSecretPrefix.length) : secret,
      'base64',
    );
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
