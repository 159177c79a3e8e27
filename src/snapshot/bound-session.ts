// What is remembered of a session between its snapshots while it is in use. All of it can be found out again.

import type { SessionKey } from '../contracts/worker-link.ts';
import type { Manifest } from './manifest.ts';
import type { RolloutMark } from './rollout-file.ts';

/** Where a session's files are. */
export type SessionPlace = {
  /** The workspace. */
  readonly ws: string;
  /** Codex's directory of rollouts. */
  readonly sessions: string;
  /** A file of ours: what is known of the workspace's files while nobody has the session. */
  readonly index: string;
};

/** Which tree the capture thread holds of the session, in the words of `treeIdOf`. */
type HeldTree = {
  readonly generation: number;
  readonly held: string | null;
  /** Of the last capture, if a snapshot was made of it. */
  readonly captured: string | null;
};

export type BoundSession = { rollout: RolloutMark | null; tree: HeldTree | null };

export function sessionName(key: SessionKey): string {
  return `${key.tenant}\n${key.sessionId}`;
}

/** Snapshots between which nothing was walked have one tree. */
export function treeIdOf(manifest: Manifest): string | null {
  if (manifest.tree.length === 0) return null;
  return manifest.tree.map(({ pack, offset, sha256 }) => `${pack}.${offset}.${sha256}`).join(' ');
}
