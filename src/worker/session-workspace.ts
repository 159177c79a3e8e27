// The files of sessions, as the gateway asks for them: of a bound session at its slot, of another in its
// snapshot. An upload is whole in the spool before the session is touched; what then changes is one step
// that `change` commits.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ByteRange } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type {
  ArchiveFormat,
  DiffBase,
  FileContent,
  FileDiff,
  FileEntry,
  FileQuery,
  FileWrite,
  WorkspaceLink,
} from '../contracts/workspace-link.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { TenantId } from '../core/ids.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { SnapshotReader } from '../snapshot/snapshot-reader.ts';
import { etagOf, placeFile, takeAway } from '../workspace/change-file.ts';
import { diffTrees } from '../workspace/diff-trees.ts';
import { fileNotFound } from '../workspace/file-errors.ts';
import { LiveTree } from '../workspace/live-tree.ts';
import { mergeTree } from '../workspace/merge-tree.ts';
import { packTree } from '../workspace/pack-archive.ts';
import { namesOf } from '../workspace/reach.ts';
import type { Spool } from '../workspace/spool.ts';
import { emptyTree, listTree, type Tree } from '../workspace/tree.ts';
import { unpackArchive } from '../workspace/unpack-archive.ts';
import { SnapshotFiles } from './snapshot-files.ts';

export type ReadableSnapshot = Pick<SnapshotReader, 'ref' | 'entries' | 'read'>;

export type SessionWorkspaceParts = {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** On the file system of the slots. */
  readonly spool: Spool;
  /** Asked before anything of a tenant is written here. Throws `worker_reserved` where others are served. */
  readonly admit: (tenant: TenantId) => void;
  /** The workspace of the slot that the session is bound to; null when it has none. */
  readonly live: (key: SessionKey) => string | null;
  /** The newest committed one; null before the first. */
  readonly newestSnapshot: (key: SessionKey) => Promise<ReadableSnapshot | null>;
  /** What the session stood at when its first turn began; null: nothing was in it. */
  readonly sessionBase: (key: SessionKey) => Promise<SnapshotRef | null>;
  /** null when it is not kept any more. */
  readonly openSnapshot: (key: SessionKey, ref: SnapshotRef) => Promise<ReadableSnapshot | null>;
  /**
   * Binds the session, runs the change on its workspace and commits, one at a time per session. Rejects
   * with `session_busy` while a turn or command runs, and as the change does: nothing is committed then.
   */
  readonly change: <T>(key: SessionKey, change: (ws: string) => Promise<T>) => Promise<T>;
};

export class SessionWorkspace implements WorkspaceLink {
  readonly #parts: SessionWorkspaceParts;

  constructor(parts: SessionWorkspaceParts) {
    this.#parts = parts;
  }

  listFiles(key: SessionKey, query: FileQuery): Promise<{ data: readonly FileEntry[]; hasMore: boolean }> {
    return this.#look(key, (tree) => listTree(tree, query));
  }

  readFile(key: SessionKey, path: string, range: ByteRange | null): Promise<FileContent> {
    return this.#look(key, async (tree) => {
      const { entry, sha256, content } = await tree.read(path, range);
      return { entry, etag: etagOf(sha256), content };
    });
  }

  async writeFile(key: SessionKey, write: FileWrite): Promise<{ etag: string; isNew: boolean }> {
    const { path, content, isExecutable, ifMatch, ifNoneMatch } = write;
    namesOf(path);
    const { admit, spool, change } = this.#parts;
    admit(key.tenant);
    const file = await spool.take(content, isExecutable);
    try {
      const { isNew } = await change(key, (ws) => placeFile(ws, path, file, { ifMatch, ifNoneMatch }));
      return { etag: etagOf(file.sha256), isNew };
    } finally {
      await spool.clear(file.path);
    }
  }

  async deleteFile(key: SessionKey, path: string, ifMatch: string | null): Promise<void> {
    // Not worth a slot when there is nothing to delete.
    if ((await this.#look(key, (tree) => tree.stat(path))) === null) throw fileNotFound(path);
    const { spool, change } = this.#parts;
    const away = spool.fresh();
    try {
      await change(key, (ws) => takeAway(ws, path, ifMatch, away));
    } finally {
      await spool.clear(away);
    }
  }

  readArchive(key: SessionKey, path: string, format: ArchiveFormat): Promise<AsyncIterable<Uint8Array>> {
    return this.#look(key, async (tree) => {
      if ((await tree.stat(path))?.kind !== 'directory') throw fileNotFound(path);
      return packTree(tree, path, format);
    });
  }

  async writeArchive(
    key: SessionKey,
    path: string,
    format: ArchiveFormat,
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ files: number; bytes: number }> {
    if (path !== '') namesOf(path);
    const { admit, spool, change } = this.#parts;
    admit(key.tenant);
    const place = spool.makeDirectory();
    try {
      const unpacked = join(place, 'unpacked');
      mkdirSync(unpacked);
      const counts = await unpackArchive(content, format, unpacked);
      let replaced = 0;
      const fresh = (): string => join(place, `replaced-${(replaced += 1)}`);
      await change(key, (ws) => mergeTree(ws, path, unpacked, fresh));
      return counts;
    } finally {
      await spool.clear(place);
    }
  }

  async diff(key: SessionKey, base: DiffBase): Promise<readonly FileDiff[]> {
    const ref = base.of === 'session' ? await this.#parts.sessionBase(key) : base.base;
    const before = ref === null ? emptyTree : await this.#opened(key, ref);
    return this.#look(key, (tree) => diffTrees(before, tree, this.#parts.clock));
  }

  async #opened(key: SessionKey, ref: SnapshotRef): Promise<Tree> {
    const snapshot = await this.#parts.openSnapshot(key, ref);
    if (snapshot === null) throw new ServiceError('snapshot_gone');
    return new SnapshotFiles(snapshot);
  }

  async #look<T>(key: SessionKey, look: (tree: Tree) => Promise<T>): Promise<T> {
    const ws = this.#parts.live(key);
    if (ws !== null) {
      try {
        return await look(new LiveTree(ws));
      } catch (error) {
        // The slot went while we looked; everything below it is told by other errors.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || this.#parts.live(key) === ws) throw error;
      }
    }
    const snapshot = await this.#parts.newestSnapshot(key);
    return look(snapshot === null ? emptyTree : new SnapshotFiles(snapshot));
  }
}
