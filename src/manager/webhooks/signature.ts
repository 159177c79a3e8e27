// Signatures as Standard Webhooks has them: who receives a delivery can tell that it is ours, whole, and of now.

import { createHmac, randomBytes } from 'node:crypto';

const secretPrefix = 'whsec_';
const secretBytes = 32;

export function newSecret(): string {
  return `${secretPrefix}${randomBytes(secretBytes).toString('base64')}`;
}

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
    const key = Buffer.from(secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret, 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
