// One attempt to deliver over HTTP: to an address that may be delivered to, without following anybody elsewhere,
// and with an end. What an answer means for the delivery is said here; what becomes of it is not.

import { type IncomingMessage, type RequestOptions, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { TLSSocketOptions } from 'node:tls';
import { readReceiverUrl, type ReceiverRules, type ReceiverUrl } from '../../api/receiver-url.ts';
import type { Clock } from '../../core/clock.ts';
import { guardedAddresses, type HostResolver, pinnedLookup, resolveHost } from './address-guard.ts';

export type SendRequest = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export type SendResult = {
  /** null where there was no answer. */
  readonly httpStatus: number | null;
  /** In a few words, none of them the receiver's; null: it has arrived. */
  readonly error: string | null;
  readonly retryAfterMs: number | null;
};

export type WebhookSenderParts = {
  readonly rules: ReceiverRules;
  /** For all of it: the resolving, the connection, the answer up to its body. */
  readonly timeoutMs: number;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Default: the name servers. */
  readonly resolve?: HostResolver;
  /** Default: the authorities that Node trusts. */
  readonly authorities?: TLSSocketOptions['ca'];
};

const mostHeaderBytes = 16 * 1024;
const longestRetryAfterMs = 3_600_000;

export class WebhookSender {
  readonly #parts: WebhookSenderParts;

  constructor(parts: WebhookSenderParts) {
    this.#parts = parts;
  }

  /** Never rejects. After `signal` it ends at once, and whether it has arrived is not known. */
  async send(request: SendRequest, signal: AbortSignal): Promise<SendResult> {
    const { clock, rules, timeoutMs } = this.#parts;
    const url = readReceiverUrl(request.url, rules);
    if (typeof url === 'string') return failed(`the URL ${url}`);
    const late = new AbortController();
    const cancelLate = clock.after(timeoutMs, () => late.abort());
    const either = AbortSignal.any([signal, late.signal]);
    try {
      return await settledBy(either, this.#attempt(url, request, either));
    } finally {
      cancelLate();
    }
  }

  async #attempt(url: ReceiverUrl, request: SendRequest, signal: AbortSignal): Promise<SendResult> {
    const { resolve = resolveHost, rules } = this.#parts;
    const guarded = await guardedAddresses(url, rules, resolve, signal);
    if (guarded.outcome !== 'allowed')
      // In the same words for a name that is unknown: nobody is to learn which names the fleet's own network has.
      return failed('the host name leads to no public address');
    if (signal.aborted) return failed(timedOut);
    return await this.#post(url, guarded.addresses, request, signal);
  }

  #post(
    url: ReceiverUrl,
    addresses: readonly string[],
    { body, headers }: SendRequest,
    signal: AbortSignal,
  ): Promise<SendResult> {
    const { authorities, clock, userAgent } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<SendResult>();
    const octets = Buffer.from(body);
    const options: RequestOptions = {
      method: 'POST',
      host: url.address ?? url.host,
      port: url.port,
      path: url.pathAndQuery,
      headers: {
        ...headers,
        host: url.authority,
        'content-type': 'application/json',
        'content-length': octets.length,
        'user-agent': userAgent,
      },
      // A connection of its own: none that was opened when the name led elsewhere, and through no proxy.
      agent: false,
      lookup: pinnedLookup(addresses),
      maxHeaderSize: mostHeaderBytes,
      signal,
    };
    const sending = url.isSecure
      ? httpsRequest({
          ...options,
          servername: url.address === null ? url.host : '',
          rejectUnauthorized: true,
          ...(authorities === undefined ? {} : { ca: authorities }),
        })
      : httpRequest(options);
    sending.on('response', (response) => {
      // Who has sent a status has taken the delivery, or has not: for a body nobody waits.
      resolve(meaningOf(response, clock.now()));
      response.on('error', () => {});
      sending.destroy();
    });
    sending.on('error', (error) => resolve(failed(wordsFor(error))));
    sending.on('close', () => resolve(failed('the connection was closed without an answer')));
    sending.end(octets);
    return promise;
  }
}

const timedOut = 'no answer came in time';

function failed(error: string): SendResult {
  return { httpStatus: null, error, retryAfterMs: null };
}

/** What the work comes to; where it does not end by itself after the signal, that it was late. */
async function settledBy(signal: AbortSignal, work: Promise<SendResult>): Promise<SendResult> {
  const { promise: late, resolve } = Promise.withResolvers<SendResult>();
  // After those of the work itself, which may know a status by then.
  const onAbort = (): void => void setImmediate(() => resolve(failed(timedOut)));
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, late]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function meaningOf({ headers, statusCode = 0 }: IncomingMessage, nowMs: number): SendResult {
  if (statusCode >= 200 && statusCode < 300) return { httpStatus: statusCode, error: null, retryAfterMs: null };
  const error = statusCode >= 300 && statusCode < 400 ? 'redirects are not followed' : 'the receiver refused it';
  const isPutOff = statusCode === 429 || statusCode === 503;
  return { httpStatus: statusCode, error, retryAfterMs: isPutOff ? retryAfterMs(headers['retry-after'], nowMs) : null };
}

/** As seconds or as a date. */
function retryAfterMs(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  // A date begins with the day of the week; the parser would take much else for one.
  const dateMs = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN;
  const askedMs = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : dateMs - nowMs;
  return Number.isFinite(askedMs) ? Math.min(longestRetryAfterMs, Math.max(0, askedMs)) : null;
}

function wordsFor(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (error.name === 'AbortError') return timedOut;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the connection was cut';
  if (code.startsWith('HPE_')) return 'the answer is not HTTP';
  if (code.includes('CERT') || code.includes('TLS') || code.includes('SSL'))
    return `the certificate or TLS failed: ${code}`;
  return code === '' ? 'the connection failed' : `the connection failed: ${code}`;
}
