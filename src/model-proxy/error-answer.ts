// A provider's refusal on its way to Codex: read in bounds, cleaned of the key, and given the status
// that makes Codex do the right thing.

import type { ServerResponse } from 'node:http';
import { responseHeadersFrom } from './headers.ts';
import type { KeyScrubber } from './key-scrubber.ts';
import type { AnsweredFailure } from './retry.ts';
import type { UpstreamResponse } from './upstream.ts';

export type ErrorAnswer = AnsweredFailure & { readonly body: string };

const maxErrorBytes = 64 * 1024;
const upstreamStatusHeader = 'x-codex-fleet-upstream-status';

export async function readErrorAnswer(answer: UpstreamResponse, scrubKey: KeyScrubber): Promise<ErrorAnswer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of answer.body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= maxErrorBytes) break;
  }
  const text = scrubKey(Buffer.concat(chunks).subarray(0, maxErrorBytes).toString('utf8'));
  const error = readError(text);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(responseHeadersFrom(answer.headers))) {
    if (name !== 'content-encoding' && name !== 'content-type') headers[name] = scrubKey(value);
  }
  const message = `The model provider answered ${answer.status}. ${text.slice(0, 1000)}`.trim();
  return {
    status: answer.status,
    headers,
    code: error?.code ?? null,
    body:
      error === null ? JSON.stringify({ error: { message, type: 'provider_error', code: null, param: null } }) : text,
  };
}

export function writeErrorAnswer(response: ServerResponse, answer: ErrorAnswer): void {
  response.writeHead(statusForCodex(answer.status), {
    ...answer.headers,
    [upstreamStatusHeader]: String(answer.status),
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(answer.body),
  });
  response.end(answer.body);
}

/** What will not get better becomes a 400: Codex 0.169 repeats every other 4xx but 429. */
function statusForCodex(status: number): number {
  const isPassing = status >= 500 || status === 429 || status === 408 || status === 409;
  return isPassing ? status : 400;
}

/** null when the body is not an error of OpenAI's shape. */
function readError(text: string): { readonly code: string | null } | null {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown } | null };
    if (typeof error !== 'object' || error === null) return null;
    return { code: typeof error.code === 'string' ? error.code : null };
  } catch {
    return null;
  }
}
