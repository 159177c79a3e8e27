// Calls of the model proxy's control face over HTTP, on a unix socket or a port. Each has a deadline; a proxy
// that cannot be reached is `model_unavailable`, whatever the reason.

import { Pool } from 'undici';
import type { Clock } from '../../core/clock.ts';
import { type ErrorCode, errorRegister, isServiceError, ServiceError } from '../../core/errors.ts';

export type ControlAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number }
  /** Such as `http://model-proxy:7101`. */
  | { readonly url: string };

export type ControlCallsOptions = {
  readonly address: ControlAddress;
  readonly credential: string;
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** For how long a proxy that does not answer is asked again. */
  readonly patienceMs: number;
};

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';
export type Fields = Readonly<Record<string, unknown>>;

const maxConnections = 16;
const maxReplyBytes = 1024 * 1024;
const firstPauseMs = 50;
const longestPauseMs = 400;

export class ControlCalls {
  readonly #pool: Pool;
  readonly #options: ControlCallsOptions;
  #isClosed = false;

  constructor(options: ControlCallsOptions) {
    const { address } = options;
    this.#options = options;
    const settings = { connections: maxConnections, allowH2: false };
    this.#pool =
      'path' in address
        ? new Pool('http://model-proxy', { ...settings, socketPath: address.path })
        : new Pool('url' in address ? new URL(address.url).origin : originOf(address), settings);
  }

  async call(method: Method, path: string, body?: Fields): Promise<Fields> {
    const { status, text } = await this.#exchange(method, path, body);
    const reply = parseReply(text);
    if (status >= 400) throw refusalOf(reply, status);
    return reply;
  }

  /** For calls that may arrive twice: a proxy that does not answer is asked again, for as long as a restart may take. */
  async insist(method: Method, path: string, body?: Fields): Promise<Fields> {
    const { clock, patienceMs } = this.#options;
    const endMs = clock.monotonicMs() + patienceMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
      try {
        return await this.call(method, path, body);
      } catch (error) {
        if (!mayAnswerLater(error) || this.#isClosed || clock.monotonicMs() + pauseMs > endMs) throw error;
      }
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }

  async text(path: string): Promise<string> {
    const { status, text } = await this.#exchange('GET', path);
    if (status !== 200) throw badReply();
    return text;
  }

  /** Calls under way are ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pool.destroy();
  }

  async #exchange(method: Method, path: string, body?: Fields): Promise<{ status: number; text: string }> {
    const { clock, credential, deadlineMs } = this.#options;
    const abort = new AbortController();
    const cancelDeadline = clock.after(deadlineMs, () => abort.abort(new Error('deadline')));
    try {
      const response = await this.#pool.request({
        method,
        path,
        signal: abort.signal,
        headers: {
          authorization: `Bearer ${credential}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.statusCode, text: await readText(response.body) };
    } catch (error) {
      if (isServiceError(error)) throw error;
      const reason = abort.signal.aborted ? 'proxy_timed_out' : 'proxy_unreachable';
      throw new ServiceError('model_unavailable', { reason }, { cause: error });
    } finally {
      cancelDeadline();
    }
  }
}

function mayAnswerLater(error: unknown): boolean {
  return (
    isUnreachable(error) ||
    (isServiceError(error, 'model_unavailable') && error.details['reason'] === 'proxy_timed_out')
  );
}

/** No connection, or one that ended before the answer: a restart looks so. */
export function isUnreachable(error: unknown): boolean {
  return isServiceError(error, 'model_unavailable') && error.details['reason'] === 'proxy_unreachable';
}

export function badReply(cause?: unknown): ServiceError {
  return new ServiceError('model_unavailable', { reason: 'proxy_answered_badly' }, { cause });
}

function originOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxReplyBytes) throw badReply();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseReply(text: string): Fields {
  let reply: unknown;
  try {
    reply = JSON.parse(text);
  } catch (error) {
    throw badReply(error);
  }
  if (typeof reply !== 'object' || reply === null) throw badReply();
  return reply as Fields;
}

/** The proxy's own code where it gave one. A refused credential is our misconfiguration, not the caller's. */
function refusalOf(problem: Fields, status: number): ServiceError {
  const { code, epoch, limit, errors } = problem;
  if (typeof code !== 'string' || !Object.hasOwn(errorRegister, code) || code === 'unauthenticated') {
    return new ServiceError('model_unavailable', { reason: 'proxy_refused', status });
  }
  const facts = Object.entries({ epoch, limit, errors }).filter(([, value]) => value !== undefined);
  return new ServiceError(code as ErrorCode, Object.fromEntries(facts));
}
