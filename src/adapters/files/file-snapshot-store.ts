// Snapshots as files: one directory per session, one file per object, written beside its place and given
// its name only when it is whole. Several processes may read; a session has one writer.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, opendir, readdir, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { ByteRange, SnapshotStore, StoredObject } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';
import { DirectorySync, syncDirectory } from './directory-sync.ts';
import { codeOf, ifPresent, storing } from './file-errors.ts';
import { readRange, writeAll } from './file-octets.ts';

export type FileSnapshotStoreOptions = {
  /** false: nothing is brought to the disk, for snapshots that need not outlive the machine's next stop. */
  readonly durable: boolean;
};

const objectName = /^[a-z0-9][a-z0-9._-]{0,127}$/;
/** No object's name begins so. */
const unfinishedPrefix = '.put-';
/** No session's directory begins so. */
const erasedPrefix = '.erased-';
/** Sessions whose directory is known to be there and swept; the others are looked at again. */
const mostKnown = 4_096;

type SessionDir = { readonly path: string; readonly names: DirectorySync; readonly parents: Promise<void> };

export class FileSnapshotStore implements SnapshotStore {
  readonly #root: string;
  readonly #durable: boolean;
  /** Ours alone, so that sweeping never takes what another put of this process writes. */
  readonly #unfinished = `${unfinishedPrefix}${randomBytes(6).toString('hex')}-`;
  readonly #known = new Map<string, Promise<SessionDir>>();
  readonly #syncedTenants = new Map<string, Promise<void>>();
  #puts = 0;

  /** `root` is made when it is needed; its parent exists. */
  constructor(root: string, options: Partial<FileSnapshotStoreOptions> = {}) {
    this.#root = root;
    this.#durable = options.durable ?? true;
  }

  async put(key: SessionKey, name: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    const object = this.#objectPath(key, name);
    const unfinished = path.join(path.dirname(object), `${this.#unfinished}${this.#puts++}`);
    let dir = await this.#writableDir(key);
    let handle = await ifPresent(createFile(unfinished));
    if (handle === null) {
      // Erased since we last looked.
      this.#known.delete(dir.path);
      dir = await this.#writableDir(key);
      handle = await storing(createFile(unfinished));
    }
    // What cannot be removed is swept by the next run's first put; it is never listed.
    const leave = (): Promise<unknown> => Promise.allSettled([handle.close(), unlink(unfinished)]);
    try {
      await writeAll(handle, content);
      await giveName(unfinished, object);
    } catch (error) {
      await leave();
      throw error;
    }
    // Content and name go to the disk together: one after the other takes half as long again. A power cut in
    // between may leave a name with less behind it than was written, and no put that was answered.
    const synced = this.#durable ? this.#sync(dir, handle, object) : null;
    // Whether the old name is gone from the disk is no matter.
    const removed = unlink(unfinished).catch(() => undefined);
    try {
      await Promise.all([synced, removed]);
    } finally {
      // What was to be known of the content is known by now: nothing to wait for.
      handle.close().catch(() => undefined);
    }
  }

  async read(key: SessionKey, name: string, range?: ByteRange): Promise<Uint8Array | null> {
    const object = this.#objectPath(key, name);
    const handle = await ifPresent(open(object, constants.O_RDONLY | constants.O_NOFOLLOW));
    if (handle === null) return null;
    try {
      return await storing(readRange(handle, range));
    } finally {
      await handle.close();
    }
  }

  async list(key: SessionKey): Promise<readonly StoredObject[]> {
    const dir = this.#dirPath(key);
    const names = (await ifPresent(readdir(dir))) ?? [];
    const objects = await Promise.all(
      names
        .filter((name) => objectName.test(name))
        .sort()
        .map(async (name) => {
          const found = await ifPresent(lstat(path.join(dir, name)));
          return found?.isFile() === true ? [{ name, bytes: found.size }] : [];
        }),
    );
    return objects.flat();
  }

  async remove(key: SessionKey, names: readonly string[]): Promise<void> {
    const objects = names.map((name) => this.#objectPath(key, name));
    for (const object of objects) await ifPresent(unlink(object));
  }

  /** Gone at once, under another name; what a crash leaves of that is removed by the same call again. */
  async erase(key: SessionKey): Promise<void> {
    const dir = this.#dirPath(key);
    const tenantDir = path.dirname(dir);
    const erased = path.join(tenantDir, `${erasedPrefix}${path.basename(dir)}`);
    this.#known.delete(dir);
    await storing(rm(erased, { recursive: true, force: true }));
    if ((await ifPresent(rename(dir, erased).then(() => true))) === null) return;
    await storing(rm(erased, { recursive: true, force: true }));
    if (this.#durable) await ifPresent(syncDirectory(tenantDir));
  }

  async *sessions(): AsyncGenerator<SessionKey> {
    for await (const tenantName of namesIn(this.#root)) {
      const tenant = meantBy(tenantName);
      if (tenant === null) continue;
      for await (const name of namesIn(path.join(this.#root, tenantName))) {
        // What a crash left of an erasure is removed by erasing it again.
        const sessionId = meantBy(name.startsWith(erasedPrefix) ? name.slice(erasedPrefix.length) : name);
        if (sessionId !== null) yield { tenant, sessionId };
      }
    }
  }

  /** An object that is not known to be on the disk is taken back: a retry writes it anew. */
  async #sync(dir: SessionDir, handle: FileHandle, object: string): Promise<void> {
    const syncs = await Promise.allSettled([handle.datasync(), dir.names.sync(), dir.parents]);
    const failed = syncs.find((sync) => sync.status === 'rejected');
    if (failed === undefined) return;
    this.#known.delete(dir.path);
    await unlink(object).catch(() => undefined);
    await storing(Promise.reject(failed.reason as Error));
  }

  #writableDir(key: SessionKey): Promise<SessionDir> {
    const dir = this.#dirPath(key);
    const known = this.#known.get(dir);
    if (known !== undefined) return known;
    const opening = storing(this.#openDir(dir));
    this.#known.set(dir, opening);
    opening.catch(() => this.#known.delete(dir));
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKnown) break;
      this.#known.delete(oldest);
    }
    return opening;
  }

  async #openDir(dir: string): Promise<SessionDir> {
    const tenantDir = path.dirname(dir);
    const isNew = (await mkdir(dir, { recursive: true, mode: 0o700 })) !== undefined;
    if (!isNew) await this.#sweep(dir);
    const parents = this.#durable ? this.#syncParents(tenantDir) : Promise.resolve();
    // Awaited by whoever puts; here only so that it is never unheard.
    parents.catch(() => undefined);
    return { path: dir, names: new DirectorySync(dir), parents };
  }

  /** Also where the directories were there before: the run that made them may have ended before it did this. */
  async #syncParents(tenantDir: string): Promise<void> {
    const above = this.#syncedTenants.get(tenantDir) ?? this.#syncRoot();
    this.#syncedTenants.set(tenantDir, above);
    above.catch(() => this.#syncedTenants.delete(tenantDir));
    await Promise.all([above, syncDirectory(tenantDir)]);
  }

  async #syncRoot(): Promise<void> {
    await Promise.all([syncDirectory(this.#root), syncDirectory(path.dirname(this.#root))]);
  }

  async #sweep(dir: string): Promise<void> {
    const names = await readdir(dir);
    const left = names.filter((name) => name.startsWith(unfinishedPrefix) && !name.startsWith(this.#unfinished));
    for (const name of left) await unlink(path.join(dir, name));
  }

  #objectPath(key: SessionKey, name: string): string {
    if (!objectName.test(name)) throw new ServiceError('internal', {}, { message: 'no object may have that name' });
    return path.join(this.#dirPath(key), name);
  }

  // Tenant names come from the operator's configuration, session ids are UUIDs of ours.
  #dirPath({ tenant, sessionId }: SessionKey): string {
    if (tenant === '' || sessionId === '')
      throw new ServiceError('internal', {}, { message: 'a key has no empty part' });
    return path.join(this.#root, safeName(tenant), safeName(sessionId));
  }
}

function safeName(text: string): string {
  return encodeURIComponent(text).replaceAll('.', '%2E');
}

function createFile(file: string): ReturnType<typeof open> {
  return open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
}

/** By a link, which refuses a name that is taken; a rename would replace what is there. */
async function giveName(unfinished: string, object: string): Promise<void> {
  try {
    await link(unfinished, object);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') return storing(Promise.reject(error as Error));
    throw new ServiceError('store_conflict', { object: path.basename(object) }, { cause: error });
  }
}

/** Of directories, one after the other: there may be more than fit into memory at once. */
async function* namesIn(dir: string): AsyncGenerator<string> {
  const opened = await ifPresent(opendir(dir));
  if (opened === null) return;
  for await (const entry of opened) if (entry.isDirectory()) yield entry.name;
}

/** null for a name that is none of ours. */
function meantBy(name: string): string | null {
  try {
    const text = decodeURIComponent(name);
    return text !== '' && safeName(text) === name ? text : null;
  } catch {
    return null;
  }
}
