// Bearer tokens: how they come in, and whether one is ours. Holds hashes only.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { TenantId } from '../core/ids.ts';

export type TokenEntry = {
  /** Lower-case hex of the token's SHA-256. */
  readonly tokenSha256: string;
  readonly tenant: TenantId;
  /** Who it is, for `created_by` and logs. */
  readonly name: string;
};

export type Principal = { readonly tenant: TenantId; readonly name: string };

export class TokenSet {
  readonly #entries: readonly { readonly hash: Buffer; readonly principal: Principal }[];

  constructor(entries: readonly TokenEntry[]) {
    this.#entries = entries.map(({ tokenSha256, tenant, name }) => {
      if (!/^[0-9a-f]{64}$/.test(tokenSha256)) throw new TypeError(`the hash of token ${name} is not 64 hex digits`);
      return { hash: Buffer.from(tokenSha256, 'hex'), principal: { tenant, name } };
    });
  }

  /** Compares with every entry, whichever matches: the time taken tells nothing. */
  find(token: string): Principal | null {
    const presented = createHash('sha256').update(token).digest();
    let found: Principal | null = null;
    for (const { hash, principal } of this.#entries) {
      if (timingSafeEqual(hash, presented)) found = principal;
    }
    return found;
  }
}

const maxTokenLength = 4096;

/** The token of an Authorization header; null when there is none or it is of another kind. */
export function bearerTokenOf(header: string | undefined): string | null {
  if (header === undefined || header.length > maxTokenLength) return null;
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(header)?.[1] ?? null;
}
