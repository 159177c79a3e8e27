// The way to a path in a workspace, one held directory after the other: a link on it ends the way. Who
// gets a directory here closes it.

import { mkdirSync, rmdirSync } from 'node:fs';
import { ServiceError } from '../core/errors.ts';
import { pathProblem } from '../core/workspace-path.ts';
import { isGone, OpenDirectory } from './open-directory.ts';

export type Place = { readonly directory: OpenDirectory; readonly name: string };

/** Throws `invalid_request` for what is no path. */
export function namesOf(path: string): readonly string[] {
  const problem = pathProblem(path);
  if (problem === null) return path.split('/');
  const message = `path ${problem}`;
  throw new ServiceError('invalid_request', { in: 'path', errors: [{ field: 'path', message: problem }] }, { message });
}

/** The directory of that path; '' is the root. null where none is. */
export function reachDirectory(root: string, path: string): OpenDirectory | null {
  const names = path === '' ? [] : namesOf(path);
  let at = OpenDirectory.openRoot(root);
  for (const name of names) {
    const below = enter(at, name);
    at.close();
    if (below === null) return null;
    at = below;
  }
  return at;
}

/** The directory that holds the path; null where none is. */
export function reachPlace(root: string, path: string): Place | null {
  const names = namesOf(path);
  const directory = reachDirectory(root, names.slice(0, -1).join('/'));
  return directory === null ? null : { directory, name: names.at(-1) ?? '' };
}

/** As reachDirectory, with directories made where nothing is. Throws ENOTDIR where something else stands; `undo` takes the new ones away again. */
export function makeDirectories(root: string, path: string, undo: (() => void)[]): OpenDirectory {
  let at = OpenDirectory.openRoot(root);
  try {
    let reached = '';
    for (const name of path === '' ? [] : namesOf(path)) {
      if (at.stat(name) === null) {
        mkdirSync(at.at(name), 0o755);
        const parent = reached;
        undo.push(() => removeEmpty(root, parent, name));
      }
      const below = at.openDirectory(name);
      at.close();
      at = below;
      reached = reached === '' ? name : `${reached}/${name}`;
    }
    return at;
  } catch (error) {
    at.close();
    throw error;
  }
}

function removeEmpty(root: string, parent: string, name: string): void {
  const directory = reachDirectory(root, parent);
  try {
    if (directory !== null) rmdirSync(directory.at(name));
  } finally {
    directory?.close();
  }
}

function enter(directory: OpenDirectory, name: string): OpenDirectory | null {
  try {
    return directory.openDirectory(name);
  } catch (error) {
    if (isGone(error) || isForbidden(error)) return null;
    throw error;
  }
}

/** What the agent has taken from itself, by chmod, is not there for us either. */
export function isForbidden(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'EACCES' || code === 'EPERM';
}
