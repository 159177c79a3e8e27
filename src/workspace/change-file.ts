// Puts one file of the spool where it belongs in a workspace, or takes one entry away: one rename each,
// so that it happened or did not. Who else may change the workspace meanwhile is the caller's business.

import { renameSync } from 'node:fs';
import { ServiceError } from '../core/errors.ts';
import { fileExists, fileNotFound, writeError } from './file-errors.ts';
import { LiveTree } from './live-tree.ts';
import { makeDirectories, namesOf, reachPlace } from './reach.ts';
import type { SpooledFile } from './spool.ts';

export type Precondition = {
  /** The ETag of the file that must be there; `*`: any file; null: none of this. */
  readonly ifMatch: string | null;
  /** Nothing may be there. */
  readonly ifNoneMatch: boolean;
};

export function etagOf(sha256: string): string {
  return `"${sha256}"`;
}

/** Rejects with `precondition_failed`, and with `file_exists` when something else than a file is there or on the way. */
export async function placeFile(
  root: string,
  path: string,
  file: SpooledFile,
  precondition: Precondition,
): Promise<{ readonly isNew: boolean }> {
  const names = namesOf(path);
  await assertFits(root, path, precondition);
  const undo: (() => void)[] = [];
  try {
    const directory = makeDirectories(root, names.slice(0, -1).join('/'), undo);
    try {
      const name = names.at(-1) ?? '';
      const there = directory.stat(name);
      if (there !== null && !there.isFile()) throw fileExists(path);
      renameSync(file.path, directory.at(name));
      return { isNew: there === null };
    } finally {
      directory.close();
    }
  } catch (error) {
    undoAll(undo);
    throw writeError(error, path);
  }
}

/** Moves the entry, whatever it is, to `into`, where nothing is. Rejects with `file_not_found`, `precondition_failed`. */
export async function takeAway(root: string, path: string, ifMatch: string | null, into: string): Promise<void> {
  const tree = new LiveTree(root);
  if ((await tree.stat(path)) === null) throw fileNotFound(path);
  if (ifMatch !== null) await assertFits(root, path, { ifMatch, ifNoneMatch: false });
  const place = reachPlace(root, path);
  if (place === null) throw fileNotFound(path);
  try {
    renameSync(place.directory.at(place.name), into);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? fileNotFound(path) : error;
  } finally {
    place.directory.close();
  }
}

async function assertFits(root: string, path: string, { ifMatch, ifNoneMatch }: Precondition): Promise<void> {
  if (ifMatch === null && !ifNoneMatch) return;
  const tree = new LiveTree(root);
  const failed = new ServiceError('precondition_failed', { path });
  if (ifNoneMatch && (await tree.stat(path)) !== null) throw failed;
  if (ifMatch === null) return;
  const sha256 = await tree.sha256(path);
  if (sha256 === null || (ifMatch !== '*' && ifMatch !== etagOf(sha256))) throw failed;
}

/** Newest first; what cannot be undone any more is somebody else's by now. */
export function undoAll(undo: readonly (() => void)[]): void {
  for (const step of undo.toReversed()) {
    try {
      step();
    } catch {
      // Goes on: the rest can still be put back.
    }
  }
}
