// Where a receiver of webhooks may be: what its URL may look like, and which addresses are public. Says it of
// spelled addresses at once; what a name resolves to is for who connects to judge, by the same rule.

import ipaddr from 'ipaddr.js';
import { type FieldProblem, invalidRequest } from './validation.ts';

export type ReceiverRules = {
  readonly allowHttp: boolean;
  /** Beside all that are public. */
  readonly allowPrivate: readonly AddressRange[];
};

export type AddressRange = readonly [network: Address, prefixBits: number];

export type ReceiverUrl = {
  readonly isSecure: boolean;
  /** In lower case, without brackets and without a dot at its end. */
  readonly host: string;
  /** null: the host is a name. */
  readonly address: string | null;
  readonly port: number;
  readonly pathAndQuery: string;
  /** For the header: the host as an URL has it, with the port unless it is the usual one. */
  readonly authority: string;
};

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const maxUrlCharacters = 2_048;

/** Of the runtime, whose types this folder does not know. */
declare const URL: new (
  text: string,
) => {
  readonly protocol: string;
  readonly username: string;
  readonly password: string;
  readonly hostname: string;
  readonly host: string;
  readonly port: string;
  readonly pathname: string;
  readonly search: string;
};

/** Names that mean the host itself or its cloud wherever they are resolved. */
const namedAddresses: readonly (readonly [name: RegExp, addresses: readonly string[]])[] = [
  [/^(?:.*\.)?localhost(?:\.localdomain)?$/, ['127.0.0.1', '::1']],
  [/^metadata(?:\.google\.internal)?$/, ['169.254.169.254']],
];

/** Of a cloud's own services, though the range is a public one. */
const refusedPublicAddresses: ReadonlySet<string> = new Set(['168.63.129.16']);

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** Throws `invalid_request` with the problem in words, by the field's name on the wire. */
export function assertReceiverUrl(text: string, rules: ReceiverRules, field = 'url'): void {
  const url = readReceiverUrl(text, rules);
  if (typeof url !== 'string') return;
  const problem: FieldProblem = { field, message: url };
  throw invalidRequest([problem], 'body');
}

/** The URL in its parts, or why nothing is delivered there: to be read behind the field's name. */
export function readReceiverUrl(text: string, rules: ReceiverRules): ReceiverUrl | string {
  if (text.length > maxUrlCharacters) return `must have at most ${maxUrlCharacters} characters`;
  // The parser drops or turns these silently: what is stored should be what is meant.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f\\\s]/.test(text)) return 'must have no spaces, control characters or backslashes';
  // The parser would find a host also behind one slash, or three.
  const url = /^[a-z]+:\/\/[^/?#]/i.test(text) ? parsed(text) : null;
  if (url === null) return 'must be an absolute URL';
  const isSecure = url.protocol === 'https:';
  if (!isSecure && !(rules.allowHttp && url.protocol === 'http:'))
    return rules.allowHttp ? 'must begin with https:// or http://' : 'must begin with https://';
  if (url.username !== '' || url.password !== '') return 'must have no user name or password';
  const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port);
  if (port === 0) return 'must not have the port 0';
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (host === '' || host.startsWith('.') || host.includes('..')) return 'must have a host';
  const address = addressOf(host);
  const spelled = address === null ? addressesOfName(host) : [address.toString()];
  if (spelled !== null && !spelled.some((one) => isDeliverable(one, rules.allowPrivate)))
    return 'must not lead to an address that is not public';
  return {
    isSecure,
    host,
    address: address?.toString() ?? null,
    port,
    pathAndQuery: `${url.pathname}${url.search}`,
    authority: url.host,
  };
}

/** Whether it is an address of the public internet, or in a range that was opened. Text that is no address is not. */
export function isDeliverable(text: string, allowPrivate: readonly AddressRange[]): boolean {
  const address = addressOf(text);
  if (address === null) return false;
  if (allowPrivate.some((range) => isWithin(address, range))) return true;
  if (address.kind() === 'ipv4')
    return address.range() === 'unicast' && !refusedPublicAddresses.has(address.toString());
  return isWithin(address, globalUnicast) && address.range() === 'unicast';
}

/**
 * Such as 10.8.0.0/16 or fd00:1::/32; throws `invalid_request` for one that is none. A single address is a range of
 * itself. None is guessed at: a short 10.8 means 10.0.0.8 to some. IPv4 has one spelling, here as in addresses.
 */
export function addressRanges(texts: readonly string[]): readonly AddressRange[] {
  return texts.map((text): AddressRange => {
    const [, spelled = '', bits] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
    const address = addressOf(spelled);
    const isMapped = address?.kind() === 'ipv4' && spelled.includes(':');
    const mostBits = address?.kind() === 'ipv4' ? 32 : 128;
    const prefixBits = bits === undefined ? mostBits : Number(bits);
    if (address !== null && !isMapped && prefixBits <= mostBits) return [address, prefixBits];
    throw invalidRequest([{ field: 'webhooks.allow_private', message: `has no address range in ${text}` }], 'body');
  });
}

/** One IPv4 address has one spelling: in six bytes more it is still the same. null also for one with a zone. */
function addressOf(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return null;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function addressesOfName(name: string): readonly string[] | null {
  return namedAddresses.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

function isWithin(address: Address, [network, prefixBits]: AddressRange): boolean {
  return address.kind() === network.kind() && address.match(network, prefixBits);
}

function parsed(text: string): InstanceType<typeof URL> | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
