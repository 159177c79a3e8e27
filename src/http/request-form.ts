// What a request must be beyond what Node's parser sees to: one meaning, whoever stands in front of us.
// Where two readers could disagree (two Hosts, a coding that nobody takes off) it is refused.

import type { IncomingMessage } from 'node:http';
import { ServiceError } from '../core/errors.ts';

/** Browsers and proxies send some thirty. */
const maxHeaderCount = 256;

/** Node keeps the first of these, others keep the last. */
const headersThatStandOnce: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-type',
  'expect',
  'host',
  'idempotency-key',
  'last-event-id',
  'origin',
  'transfer-encoding',
  'x-request-id',
]);

type Form = Pick<IncomingMessage, 'httpVersion' | 'headers' | 'rawHeaders'>;

/** Throws for a request that could be read in two ways: the connection is not to be used again. */
export function assertUnambiguous({ httpVersion, headers, rawHeaders }: Form): void {
  if (rawHeaders.length > 2 * maxHeaderCount) throw new ServiceError('headers_too_large', { limit: maxHeaderCount });
  if (httpVersion !== '1.1' && httpVersion !== '1.0') throw malformed('Only HTTP/1.1 and HTTP/1.0 are spoken here.');
  if (httpVersion === '1.1' && headers.host === undefined) throw malformed('The Host header is missing.');
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    if (!headersThatStandOnce.has(name)) continue;
    if (seen.has(name)) throw malformed(`The header ${name} may stand once only.`);
    seen.add(name);
  }
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return;
  if (coding.trim().toLowerCase() !== 'chunked') throw malformed('The only Transfer-Encoding is chunked.');
  if (httpVersion === '1.0') throw malformed('HTTP/1.0 has no Transfer-Encoding.');
}

/** Throws for an Expect that is not the one that is known. */
export function assertExpectation({ headers }: Pick<IncomingMessage, 'headers'>): void {
  if (headers.expect === undefined || expectsContinue({ headers })) return;
  throw malformed('The only Expect is 100-continue.');
}

/** The client waits for a word before it sends the body. */
export function expectsContinue({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.expect?.trim().toLowerCase() === '100-continue';
}

/** Proxies may ask for `http://name/path`: the name goes before that in Host (RFC 9112, 3.2.2). */
export function takeOriginForm(request: Pick<IncomingMessage, 'url' | 'headers'>): string {
  const url = request.url ?? '/';
  if (url.startsWith('/')) return url;
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(url) ?? [];
  if (authority === undefined) return url;
  request.headers.host = authority;
  request.url = rest.startsWith('/') ? rest : `/${rest}`;
  return request.url;
}

function malformed(message: string): ServiceError {
  return new ServiceError('invalid_request', {}, { message });
}
