// What a range of addresses looks like in the settings: an address with all its parts, and how many bits of it count.

import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/** A single address is one, too. Not one of IPv4 in the spelling of IPv6, and none with a zone. */
export function isAddressRange(text: string): boolean {
  const [, address = '', bits = '0'] = /^([^/%]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  if (isIPv4(address)) return Number(bits) <= 32;
  return isIPv6(address) && Number(bits) <= 128 && !isMapped(address);
}

function isMapped(address: string): boolean {
  // This has one spelling for it, whatever was written.
  return /^::ffff:[0-9.]+$/.test(new SocketAddress({ address, family: 'ipv6' }).address);
}
