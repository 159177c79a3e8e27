// The objects of a snapshot that are put before its last one, and the numbers by which its manifest names them.

import type { SessionObjects } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { mintObjectName } from './manifest.ts';

/** Put, and not numbered yet: how many packs the workspace takes is not known before it was walked. */
export type PutAhead = { readonly object: string; readonly bytes: number };

/** The bytes are the caller's again when it resolves. Rejects with what the store rejects with. */
export type PackPut = (pieces: readonly Uint8Array[]) => Promise<PutAhead>;

export type DataPacksOptions = {
  readonly store: SessionObjects;
  readonly key: SessionKey;
  readonly epoch: number;
  /** The number of the snapshot that they are for. */
  readonly snapshot: number;
};

export class DataPacks {
  readonly #options: DataPacksOptions;
  readonly #numbered = new Map<number, PutAhead>();
  /** Of those that are numbered. */
  bytes = 0;

  constructor(options: DataPacksOptions) {
    this.#options = options;
  }

  /** A PackPut. */
  async putAhead(pieces: readonly Uint8Array[]): Promise<PutAhead> {
    const { store, key, epoch, snapshot } = this.#options;
    const object = mintObjectName(epoch, snapshot, null);
    await store.put(key, object, pieces);
    return { object, bytes: pieces.reduce((sum, piece) => sum + piece.length, 0) };
  }

  number(pack: number, put: PutAhead): void {
    this.#numbered.set(pack, put);
    this.bytes += put.bytes;
  }

  get count(): number {
    return this.#numbered.size;
  }

  all(): Iterable<readonly [pack: number, put: PutAhead]> {
    return this.#numbered;
  }
}
