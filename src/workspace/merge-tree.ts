// Moves what was unpacked into a workspace, all of it or nothing: first it is looked at whether everything
// fits, then each part goes by one rename, and a failure takes the done ones back.

import { renameSync } from 'node:fs';
import { fileExists, writeError } from './file-errors.ts';
import type { OpenDirectory } from './open-directory.ts';
import { makeDirectories, reachDirectory } from './reach.ts';
import { Breather, joinPath } from './tree.ts';
import { undoAll } from './change-file.ts';

type Step = { readonly source: string; readonly target: string; readonly name: string; readonly replaces: boolean };

/**
 * What is below `staged` comes below `path`: over files of the same name, into directories of the same name.
 * Rejects with `file_exists` where kinds differ. `fresh` names a place for what is written over until all is done.
 */
export async function mergeTree(root: string, path: string, staged: string, fresh: () => string): Promise<void> {
  const undo: (() => void)[] = [];
  const breather = new Breather();
  try {
    makeDirectories(root, path, undo).close();
    const steps: Step[] = [];
    await plan({ staged, root, base: path }, '', steps, breather);
    for (const step of steps) {
      await breather.step();
      move(root, staged, step, undo, fresh);
    }
  } catch (error) {
    undoAll(undo);
    throw writeError(error, path);
  }
}

type Pair = { readonly staged: string; readonly root: string; readonly base: string };

async function plan(pair: Pair, below: string, steps: Step[], breather: Breather): Promise<void> {
  const targetPath = below === '' ? pair.base : joinPath(pair.base, below);
  const source = reachDirectory(pair.staged, below);
  const target = reachDirectory(pair.root, targetPath);
  const deeper: string[] = [];
  try {
    if (source === null || target === null) throw fileExists(targetPath);
    for (const name of source.names()) {
      if (typeof name !== 'string') continue;
      await breather.step();
      const there = target.stat(name);
      const isDirectory = source.stat(name)?.isDirectory() === true;
      if (there !== null && isDirectory && there.isDirectory()) deeper.push(joinPath(below, name));
      else if (there === null || (!isDirectory && there.isFile())) {
        steps.push({ source: below, target: targetPath, name, replaces: there !== null });
      } else throw fileExists(joinPath(targetPath, name));
    }
  } finally {
    source?.close();
    target?.close();
  }
  for (const next of deeper) await plan(pair, next, steps, breather);
}

function move(root: string, staged: string, step: Step, undo: (() => void)[], fresh: () => string): void {
  const { name } = step;
  withBoth(staged, step.source, root, step.target, (source, target) => {
    if (step.replaces) {
      const aside = fresh();
      renameSync(target.at(name), aside);
      undo.push(() => withBoth(staged, step.source, root, step.target, (_, to) => renameSync(aside, to.at(name))));
    }
    renameSync(source.at(name), target.at(name));
    undo.push(() =>
      withBoth(staged, step.source, root, step.target, (from, to) => renameSync(to.at(name), from.at(name))),
    );
  });
}

function withBoth(
  staged: string,
  sourcePath: string,
  root: string,
  targetPath: string,
  work: (source: OpenDirectory, target: OpenDirectory) => void,
): void {
  const source = reachDirectory(staged, sourcePath);
  const target = reachDirectory(root, targetPath);
  try {
    if (source === null || target === null) throw fileExists(targetPath);
    work(source, target);
  } finally {
    source?.close();
    target?.close();
  }
}
