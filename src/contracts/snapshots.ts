// Where snapshots are kept: immutable objects, per session. What is in them is not known here.

import type { SessionKey } from './worker-link.ts';

export type StoredObject = { readonly name: string; readonly bytes: number };

/** Bytes `offset` to `offset + length`. */
export type ByteRange = { readonly offset: number; readonly length: number };

/** What is kept of sessions that one knows by name. */
export interface SessionObjects {
  /**
   * Durable before it resolves; whole or absent, but a power cut before that may leave a part of it. A name
   * is written once: `store_conflict` when it is taken. Names are 1 to 128 of a-z 0-9 . _ - and begin with a letter or digit. Rejects with
   * `storage_full` or `store_unavailable`; nothing is left behind then that `list` would name. Each piece
   * is taken before the next is asked for: one buffer may serve for all.
   */
  put(key: SessionKey, name: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
  /** null when there is no such object. A range that reaches behind the end gives what there is. */
  read(key: SessionKey, name: string, range?: ByteRange): Promise<Uint8Array | null>;
  /** All of the session's objects, by name; none for one that is not known. */
  list(key: SessionKey): Promise<readonly StoredObject[]>;
  /** Removing what is not there is harmless. */
  remove(key: SessionKey, names: readonly string[]): Promise<void>;
  /** Removes all objects of the session, and what unfinished writes of it left. */
  erase(key: SessionKey): Promise<void>;
}

export interface SnapshotStore extends SessionObjects {
  /** Each session that something is kept of, once or more, in no order; what is put or erased meanwhile may be missed. */
  sessions(): AsyncIterable<SessionKey>;
}
