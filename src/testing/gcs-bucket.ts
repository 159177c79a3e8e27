// The objects and unfinished uploads of the local Cloud Storage's bucket, with generations and preconditions.

import { createHash, randomUUID } from 'node:crypto';
import { crc32c, crc32cText } from '../adapters/gcs/crc32c.ts';
import type { GcsBlobs } from './gcs-blobs.ts';

export type GcsObject = {
  readonly kind: 'object';
  readonly id: string;
  readonly name: string;
  readonly generation: string;
  readonly size: number;
  readonly crc32c: string;
  readonly md5Hash: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly timeCreated: string;
};

export type GcsUpload = {
  readonly kind: 'upload';
  readonly id: string;
  readonly name: string;
  readonly contentType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly crc32c: string | null;
  readonly ifGenerationMatch: string | null;
};

/** What the API answers an attempt to make an object with. */
export type Refused = { readonly status: number; readonly message: string };

export type ListPage = {
  readonly items: readonly GcsObject[];
  readonly prefixes: readonly string[];
  readonly nextPageToken: string | null;
};

const hashedAtOnce = 1024 * 1024;

export class GcsBucket {
  readonly #blobs: GcsBlobs;
  readonly #objects = new Map<string, GcsObject>();
  readonly #uploads = new Map<string, GcsUpload>();
  #sorted: readonly string[] | null = null;
  #lastGeneration = 0;

  constructor(blobs: GcsBlobs) {
    this.#blobs = blobs;
    for (const note of blobs.notes()) {
      const one = note as GcsObject | GcsUpload;
      if (one.kind === 'upload') this.#uploads.set(one.id, one);
      else this.#objects.set(one.name, one);
    }
  }

  get(name: string): GcsObject | null {
    return this.#objects.get(name) ?? null;
  }

  content(object: GcsObject, start: number, end: number): Buffer {
    return this.#blobs.read(object.id, start, end);
  }

  get names(): readonly string[] {
    return (this.#sorted ??= [...this.#objects.keys()].sort());
  }

  begin(upload: Omit<GcsUpload, 'kind' | 'id'>): GcsUpload | Refused {
    const refused = this.#conflict(upload.name, upload.ifGenerationMatch);
    if (refused !== null) return refused;
    const begun: GcsUpload = { kind: 'upload', id: randomUUID(), ...upload };
    this.#uploads.set(begun.id, begun);
    this.#blobs.note(begun.id, begun);
    return begun;
  }

  upload(id: string): GcsUpload | null {
    return this.#uploads.get(id) ?? null;
  }

  get unfinished(): number {
    return this.#uploads.size;
  }

  committed(upload: GcsUpload): number {
    return this.#blobs.size(upload.id);
  }

  append(upload: GcsUpload, bytes: Uint8Array): void {
    this.#blobs.append(upload.id, bytes);
  }

  cancel(upload: GcsUpload): void {
    this.#uploads.delete(upload.id);
    this.#blobs.remove(upload.id);
  }

  /** `crc32c`: what the client says that it is; null when it does not. */
  finish(upload: GcsUpload, said: string | null): GcsObject | Refused {
    const size = this.#blobs.size(upload.id);
    const md5 = createHash('md5');
    let crc = 0;
    for (let start = 0; start < size; start += hashedAtOnce) {
      const piece = this.#blobs.read(upload.id, start, Math.min(size, start + hashedAtOnce));
      md5.update(piece);
      crc = crc32c(piece, crc);
    }
    const expected = said ?? upload.crc32c;
    const wrong: Refused | null =
      expected === null || expected === crc32cText(crc)
        ? null
        : { status: 400, message: `Provided CRC32C "${expected}" doesn't match calculated CRC32C.` };
    const refused = wrong ?? this.#conflict(upload.name, upload.ifGenerationMatch);
    if (refused !== null) {
      this.cancel(upload);
      return refused;
    }
    const before = this.#objects.get(upload.name);
    this.#lastGeneration = Math.max(this.#lastGeneration + 1, Date.now() * 1000);
    const object: GcsObject = {
      kind: 'object',
      id: upload.id,
      name: upload.name,
      generation: String(this.#lastGeneration),
      size,
      crc32c: crc32cText(crc),
      md5Hash: md5.digest('base64'),
      contentType: upload.contentType,
      metadata: upload.metadata,
      timeCreated: new Date().toISOString(),
    };
    this.#blobs.append(upload.id, Buffer.alloc(0));
    this.#blobs.note(upload.id, object);
    this.#uploads.delete(upload.id);
    this.#objects.set(object.name, object);
    if (before === undefined) this.#sorted = null;
    else this.#blobs.remove(before.id);
    return object;
  }

  delete(name: string, ifGenerationMatch: string | null): Refused | null {
    const object = this.#objects.get(name);
    if (object === undefined) return { status: 404, message: `No such object: ${name}` };
    const refused = ifGenerationMatch === null ? null : this.#conflict(name, ifGenerationMatch);
    if (refused !== null) return refused;
    this.#objects.delete(name);
    this.#sorted = null;
    this.#blobs.remove(object.id);
    return null;
  }

  list(prefix: string, delimiter: string | null, after: string | null, maxResults: number): ListPage {
    const items: GcsObject[] = [];
    const prefixes = new Set<string>();
    let last: string | null = null;
    for (const name of this.names) {
      if (!name.startsWith(prefix)) continue;
      const end = delimiter === null ? -1 : name.indexOf(delimiter, prefix.length);
      const entry = end === -1 ? name : name.slice(0, end + 1);
      if (after !== null && entry <= after) continue;
      if (!prefixes.has(entry) && items.length + prefixes.size === maxResults) {
        return { items, prefixes: [...prefixes], nextPageToken: last };
      }
      last = entry;
      const object = this.#objects.get(name);
      if (end !== -1) prefixes.add(entry);
      else if (object !== undefined) items.push(object);
    }
    return { items, prefixes: [...prefixes], nextPageToken: null };
  }

  #conflict(name: string, ifGenerationMatch: string | null): Refused | null {
    if (ifGenerationMatch === null || (this.#objects.get(name)?.generation ?? '0') === ifGenerationMatch) return null;
    return { status: 412, message: 'At least one of the pre-conditions you specified did not hold.' };
  }
}
