// The credential that reads numbers and nothing else: what collects metrics needs no tenant's token, and no right
// to do anything. Holds a hash only.

import { createHash, timingSafeEqual } from 'node:crypto';
import { bearerTokenOf } from './bearer.ts';

export class ScrapeCredential {
  readonly #hash: Buffer | null;

  /** null: there is none, and nobody is admitted by it. */
  constructor(token: string | null) {
    this.#hash = token === null ? null : hashOf(token);
  }

  admits(authorization: string | undefined): boolean {
    const token = bearerTokenOf(authorization);
    return this.#hash !== null && token !== null && timingSafeEqual(hashOf(token), this.#hash);
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
