// Where the local Cloud Storage keeps octets and what it knows of them: in memory, or in a directory, where
// they outlive the process.

import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

export interface GcsBlobs {
  append(id: string, bytes: Uint8Array): void;
  size(id: string): number;
  read(id: string, start: number, end: number): Buffer;
  remove(id: string): void;
  /** Replaces what was known. */
  note(id: string, facts: unknown): void;
  notes(): readonly unknown[];
}

export class MemoryBlobs implements GcsBlobs {
  readonly #blobs = new Map<string, Buffer>();

  append(id: string, bytes: Uint8Array): void {
    this.#blobs.set(id, Buffer.concat([this.#blobs.get(id) ?? Buffer.alloc(0), bytes]));
  }

  size(id: string): number {
    return this.#blobs.get(id)?.length ?? 0;
  }

  read(id: string, start: number, end: number): Buffer {
    return (this.#blobs.get(id) ?? Buffer.alloc(0)).subarray(start, end);
  }

  remove(id: string): void {
    this.#blobs.delete(id);
  }

  note(): void {
    // The server itself remembers.
  }

  notes(): readonly unknown[] {
    return [];
  }
}

export class DirectoryBlobs implements GcsBlobs {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  append(id: string, bytes: Uint8Array): void {
    appendFileSync(this.#data(id), bytes);
  }

  size(id: string): number {
    return existsSync(this.#data(id)) ? statSync(this.#data(id)).size : 0;
  }

  read(id: string, start: number, end: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(end, this.size(id)) - start));
    if (bytes.length === 0) return bytes;
    const fd = openSync(this.#data(id), 'r');
    try {
      readSync(fd, bytes, 0, bytes.length, start);
    } finally {
      closeSync(fd);
    }
    return bytes;
  }

  remove(id: string): void {
    rmSync(this.#facts(id), { force: true });
    rmSync(this.#data(id), { force: true });
  }

  note(id: string, facts: unknown): void {
    writeFileSync(`${this.#facts(id)}.new`, JSON.stringify(facts));
    renameSync(`${this.#facts(id)}.new`, this.#facts(id));
  }

  notes(): readonly unknown[] {
    const names = readdirSync(this.#dir).filter((name) => name.endsWith('.json'));
    return names.map((name) => JSON.parse(readFileSync(path.join(this.#dir, name), 'utf8')) as unknown);
  }

  #data(id: string): string {
    return path.join(this.#dir, `${id}.data`);
  }

  #facts(id: string): string {
    return path.join(this.#dir, `${id}.json`);
  }
}
