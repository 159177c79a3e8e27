// To which addresses a receiver's host may be connected: resolves it itself, keeps what is public, and hands out
// those addresses alone, so that what a name says a moment later leads nowhere else.

import { Resolver } from 'node:dns/promises';
import { isIPv6, type LookupFunction } from 'node:net';
import { isDeliverable, type ReceiverRules, type ReceiverUrl } from '../../api/receiver-url.ts';

/** All addresses of a name; rejects when there are none. */
export type HostResolver = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

export type GuardedAddresses =
  | { readonly outcome: 'allowed'; readonly addresses: readonly string[] }
  /** None that may be delivered to, or none at all. */
  | { readonly outcome: 'none' };

const mostAddresses = 8;
const queryMs = 2_000;
const queries = 2;

/** To be asked before each attempt: where a name leads changes. Never rejects. */
export async function guardedAddresses(
  url: ReceiverUrl,
  { allowPrivate }: Pick<ReceiverRules, 'allowPrivate'>,
  resolve: HostResolver,
  signal: AbortSignal,
): Promise<GuardedAddresses> {
  let resolved: readonly string[];
  try {
    resolved = url.address === null ? await resolve(url.host, signal) : [url.address];
  } catch {
    return { outcome: 'none' };
  }
  // A name may lead to public and to private addresses at once: that it does is no reason to go to the latter.
  const addresses = resolved.filter((address) => isDeliverable(address, allowPrivate)).slice(0, mostAddresses);
  return addresses.length > 0 ? { outcome: 'allowed', addresses } : { outcome: 'none' };
}

/** What a socket asks in place of the resolver: it can only be told what was checked. */
export function pinnedLookup(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, callback) => {
    const first = all[0];
    if (first === undefined) callback(new Error('no address was allowed'), '', 4);
    else if (options.all === true) callback(null, all);
    else callback(null, first.address, first.family);
  };
}

/**
 * Asks the name servers and nothing else. Not `lookup`: that occupies one of the few threads which also serve
 * the file system, for as long as the name servers of whoever chose the name please.
 */
export async function resolveHost(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (/^(?:.*\.)?localhost$/.test(host)) return ['127.0.0.1', '::1'];
  const resolver = new Resolver({ timeout: queryMs, tries: queries });
  const cancel = (): void => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (addresses.length === 0 && answers[0].status === 'rejected') throw answers[0].reason;
    return addresses;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
