// The last object of a snapshot while it is put together: pieces of all kinds one behind another, and the
// manifest, which says where they lie, behind them.

import { sha256Of } from './manifest.ts';

/** Where a piece lies, as a manifest says it. */
type Placed = { readonly pack: number; readonly offset: number; readonly length: number; readonly sha256: string };

export class LastObject {
  readonly #pieces: Uint8Array[] = [];
  /** The number that the manifest gives it. */
  readonly pack: number;
  /** So far; then: where the manifest begins. */
  bytes = 0;

  constructor(pack: number) {
    this.pack = pack;
  }

  add(piece: Uint8Array, sha256: string = sha256Of(piece)): Placed {
    const placed = { pack: this.pack, offset: this.bytes, length: piece.length, sha256 };
    this.#pieces.push(piece);
    this.bytes += piece.length;
    return placed;
  }

  content(manifest: Uint8Array): readonly Uint8Array[] {
    return [...this.#pieces, manifest];
  }
}
