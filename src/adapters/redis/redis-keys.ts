// The names of all keys but those of the log (event-keys.ts). What one script touches has the same words in braces, which keep it on one server of
// a cluster; whatever comes from outside is escaped, so that its own braces mean nothing.

import type { SessionId, TenantId } from '../../core/ids.ts';

export type KeyOfSession = { readonly tenant: TenantId; readonly sessionId: SessionId };

/** Leases lie in so many places, each with a mark of its own: it is lost when they are. Never to be changed. */
const leasePlaces = 16;

export function leaseKeys(prefix: string, { tenant, sessionId }: KeyOfSession): { lease: string; born: string } {
  const name = `${encodeURIComponent(tenant)}/${encodeURIComponent(sessionId)}`;
  const tag = leaseTag(placeOf(name));
  return { lease: `${prefix}${tag}:lease:${name}`, born: `${prefix}${tag}:born` };
}

export function leaseMarkKeys(prefix: string): string[] {
  return Array.from({ length: leasePlaces }, (_, place) => `${prefix}${leaseTag(place)}:born`);
}

export function fleetKey(prefix: string, name: 'workers' | 'watch' | 'born' | 'leader' | 'records'): string {
  return `${prefix}{fleet}:${name}`;
}

export function ticketKey(prefix: string, hash: string): string {
  return `${prefix}{ticket/${encodeURIComponent(hash)}}`;
}

export function tenantKey(prefix: string, tenant: TenantId, name: 'tickets' | 'rate:turns'): string {
  return `${prefix}{tenant/${encodeURIComponent(tenant)}}:${name}`;
}

/** All grants of a session, by what their ids begin with. */
export function grantsKey(prefix: string, session: string): string {
  return `${prefix}{grants/${encodeURIComponent(session)}}`;
}

export function credentialKey(prefix: string, sha256: string): string {
  return `${prefix}{credential/${encodeURIComponent(sha256)}}`;
}

export function grantsBornKey(prefix: string): string {
  return `${prefix}{grants}:born`;
}

function leaseTag(place: number): string {
  return `{leases-${place}}`;
}

/** FNV-1a: the same in every process and version. */
function placeOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % leasePlaces;
}
