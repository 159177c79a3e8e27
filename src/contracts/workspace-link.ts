// What the gateway asks of a session's workspace. A bound session is asked at its slot, another is read
// from its snapshot; a write binds it. Paths are relative to the workspace, with / between names.

import type { SnapshotRef } from '../core/session.ts';
import type { ByteRange } from './snapshots.ts';
import type { SessionKey } from './worker-link.ts';

export type FileKind = 'file' | 'directory' | 'symlink' | 'special';

export type FileEntry = {
  readonly path: string;
  readonly kind: FileKind;
  /** Bytes; 0 for anything but a file. */
  readonly size: number;
  readonly modifiedAt: number;
  readonly isExecutable: boolean;
  /** What a link says, not what is there; null for anything else. Links are never followed. */
  readonly target: string | null;
};

export type FileContent = {
  readonly entry: FileEntry;
  /** A strong one, quoted: the hash of the octets. */
  readonly etag: string;
  /** The range that was asked for, as far as the file goes. */
  readonly content: AsyncIterable<Uint8Array>;
};

export type FileQuery = {
  /** '' for the workspace itself. */
  readonly path: string;
  readonly recursive: boolean;
  /** Entries behind this path, in byte order of paths. */
  readonly after: string | null;
  readonly limit: number;
};

export type FileWrite = {
  readonly path: string;
  readonly content: AsyncIterable<Uint8Array>;
  readonly isExecutable: boolean;
  /** Write only over a file with this ETag; `*`: over any file; null: whatever is there. */
  readonly ifMatch: string | null;
  /** Write only where nothing is. */
  readonly ifNoneMatch: boolean;
};

export type ArchiveFormat = 'tar.gz' | 'tar.zst';

export type DiffBase =
  /** As it was when the session's first turn began. */
  | { readonly of: 'session' }
  /** As it was when that turn began. */
  | { readonly of: 'turn'; readonly base: SnapshotRef | null };

export type FileDiff = {
  readonly path: string;
  readonly status: 'added' | 'modified' | 'deleted';
  readonly isBinary: boolean;
  /** Unified; null for a binary file, and for one that is too large to be compared. */
  readonly patch: string | null;
  readonly additions: number;
  readonly deletions: number;
};

export interface WorkspaceLink {
  listFiles(
    key: SessionKey,
    query: FileQuery,
  ): Promise<{ readonly data: readonly FileEntry[]; readonly hasMore: boolean }>;
  /** Rejects with `file_not_found`, also for a directory, a link, a path through a link. */
  readFile(key: SessionKey, path: string, range: ByteRange | null): Promise<FileContent>;
  /**
   * Committed before it resolves, whole or not at all. Rejects with `session_busy` while a turn or
   * command runs, `precondition_failed`, `file_exists` (a directory, a link in the way), `payload_too_large`.
   */
  writeFile(key: SessionKey, write: FileWrite): Promise<{ readonly etag: string; readonly isNew: boolean }>;
  /** A directory with all in it. Rejects as `writeFile`, and with `file_not_found`. */
  deleteFile(key: SessionKey, path: string, ifMatch: string | null): Promise<void>;
  /** The whole workspace, or what is below `path`. */
  readArchive(key: SessionKey, path: string, format: ArchiveFormat): Promise<AsyncIterable<Uint8Array>>;
  /** Unpacks into `path`, all or nothing; what is hostile is refused with `archive_refused`. Committed before it resolves. */
  writeArchive(
    key: SessionKey,
    path: string,
    format: ArchiveFormat,
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ readonly files: number; readonly bytes: number }>;
  /** By path. Rejects with `snapshot_gone` when the base is not kept any more. */
  diff(key: SessionKey, base: DiffBase): Promise<readonly FileDiff[]>;
}
