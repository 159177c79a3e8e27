// Writes a tree into an empty directory, in the capture thread: directories first, then contents in the
// order in which they lie in the packs, each verified before it is written. Nothing is followed.

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { OpenDirectory } from '../workspace/open-directory.ts';
import type { KnownFiles } from './known-files.ts';
import { sha256Of } from './manifest.ts';
import { readAhead } from './read-ahead.ts';
import type { Chunk, FileNode, TreeEntry } from './tree.ts';

/** A pack's bytes are not what they were, or gone. */
export class DamagedPack extends Error {
  readonly pack: number;

  constructor(pack: number, problem: string) {
    super(problem);
    this.name = 'DamagedPack';
    this.pack = pack;
  }
}

export type RestoreLinks = {
  /** null when there is no such pack; fewer bytes when it is cut. */
  readonly want: (pack: number, offset: number, length: number) => Promise<Uint8Array | null>;
  readonly breathe: () => Promise<void>;
  readonly nowMs: () => number;
};

type Placement = { readonly path: string; readonly node: FileNode; readonly chunk: Chunk; readonly position: number };
/** Placements whose chunks lie close enough to be read at once. */
type Stretch = { readonly pack: number; readonly offset: number; end: number; readonly placements: Placement[] };

const maxStretchBytes = 8 * 1024 * 1024;
/** Reading over what is not needed is cheaper than asking again. */
const maxGapBytes = 64 * 1024;
const maxOpenDirectories = 64;

export async function restoreFiles(known: KnownFiles, workspace: string, links: RestoreLinks): Promise<void> {
  const tree = [...known.all()]
    .flatMap(([prefix, name, { entry }]) => (entry === null ? [] : [[prefix + name, entry] as const]))
    // A directory comes before what is in it.
    .sort(([left], [right]) => (left < right ? -1 : 1));
  const directories = new OpenDirectories(workspace);
  try {
    await createEntries(tree, directories, known, links);
    await writeContents(tree, directories, known, links);
    // Last, and the deepest first: one may forbid us to write into it.
    for (const [path, entry] of tree.toReversed()) {
      if (entry.kind === 'directory') directories.setMode(path, entry.mode);
    }
    // Nobody else writes here before we have ended: all of it counts as read now.
    const readAtMs = links.nowMs();
    for (const [, , { seen }] of known.all()) if (seen !== null) seen.readAtMs = readAtMs;
  } finally {
    directories.closeAll();
  }
}

type Tree = readonly (readonly [path: string, entry: TreeEntry])[];

async function createEntries(
  tree: Tree,
  directories: OpenDirectories,
  known: KnownFiles,
  links: RestoreLinks,
): Promise<void> {
  for (const [path, entry] of tree) {
    const [parent, name] = directories.parentOf(path);
    if (entry.kind === 'directory') mkdirSync(parent.at(name), 0o700);
    else if (entry.kind === 'symlink') symlinkSync(entry.target, parent.at(name));
    else if (entry.chunks.length !== 1) {
      // Without content, or with content that comes piece by piece.
      const fd = parent.createFile(name, 0o600);
      if (entry.chunks.length === 0) finish(fd, path, entry, known);
      else closeSync(fd);
    }
    await links.breathe();
  }
}

async function writeContents(
  tree: Tree,
  directories: OpenDirectories,
  known: KnownFiles,
  links: RestoreLinks,
): Promise<void> {
  const missing = new Map<string, number>();
  const stretches = stretchesOf(tree);
  const reads = readAhead(
    stretches,
    ({ offset, end }) => end - offset,
    ({ pack, offset, end }) => links.want(pack, offset, end - offset),
  );
  for await (const [stretch, bytes] of reads) {
    if (bytes === null) throw new DamagedPack(stretch.pack, 'it is missing');
    let verified: Chunk | null = null;
    for (const { path, node, chunk, position } of stretch.placements) {
      const content = bytes.subarray(chunk.offset - stretch.offset, chunk.offset - stretch.offset + chunk.length);
      if (verified?.offset !== chunk.offset) {
        if (content.length !== chunk.length) throw new DamagedPack(stretch.pack, 'it is cut');
        if (sha256Of(content) !== chunk.sha256) throw new DamagedPack(stretch.pack, 'its hash does not match');
        verified = chunk;
      }
      const [parent, name] = directories.parentOf(path);
      const isOnly = node.chunks.length === 1;
      const fd = isOnly ? parent.createFile(name, node.mode) : openSync(parent.at(name), writeFlags);
      writeAll(fd, content, position);
      const left = (missing.get(path) ?? node.chunks.length) - 1;
      missing.set(path, left);
      if (left === 0) finish(fd, path, node, known);
      else closeSync(fd);
      await links.breathe();
    }
  }
}

const writeFlags = constants.O_WRONLY | constants.O_NOFOLLOW;

function stretchesOf(tree: Tree): readonly Stretch[] {
  const placements: Placement[] = [];
  for (const [path, node] of tree) {
    if (node.kind !== 'file') continue;
    let position = 0;
    for (const chunk of node.chunks) {
      placements.push({ path, node, chunk, position });
      position += chunk.length;
    }
  }
  placements.sort(({ chunk: left }, { chunk: right }) => left.pack - right.pack || left.offset - right.offset);
  const stretches: Stretch[] = [];
  let last: Stretch | undefined;
  for (const placement of placements) {
    const { pack, offset, length } = placement.chunk;
    const end = offset + length;
    const fits = last?.pack === pack && offset <= last.end + maxGapBytes && end - last.offset <= maxStretchBytes;
    if (last === undefined || !fits) {
      last = { pack, offset, end, placements: [] };
      stretches.push(last);
    }
    last.end = Math.max(last.end, end);
    last.placements.push(placement);
  }
  return stretches;
}

function finish(fd: number, path: string, node: FileNode, known: KnownFiles): void {
  try {
    futimesSync(fd, node.modifiedAt / 1000, node.modifiedAt / 1000);
    let stats = fstatSync(fd);
    if ((stats.mode & 0o777) !== node.mode) {
      // The umask took some of it away.
      fchmodSync(fd, node.mode);
      stats = fstatSync(fd);
    }
    const { size, mtimeMs, ctimeMs, ino } = stats;
    known.at(path).seen = { size, mtimeMs, ctimeMs, ino, readAtMs: 0, sha256: node.sha256 };
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, content: Uint8Array, position: number): void {
  for (let written = 0; written < content.length; ) {
    written += writeSync(fd, content, written, content.length - written, position + written);
  }
}

/** Directories held open while files are put into them, the latest used ones. */
class OpenDirectories {
  readonly #open = new Map<string, OpenDirectory>();
  readonly #root: OpenDirectory;

  constructor(workspace: string) {
    this.#root = OpenDirectory.openRoot(workspace);
  }

  parentOf(path: string): readonly [parent: OpenDirectory, name: string] {
    const slash = path.lastIndexOf('/');
    return [slash === -1 ? this.#root : this.#directory(path.slice(0, slash)), path.slice(slash + 1)];
  }

  setMode(path: string, mode: number): void {
    const [parent, name] = this.parentOf(path);
    const directory = parent.openDirectory(name);
    directory.setMode(mode);
    directory.close();
  }

  closeAll(): void {
    for (const directory of this.#open.values()) directory.close();
    this.#root.close();
  }

  #directory(path: string): OpenDirectory {
    const open = this.#open.get(path);
    if (open !== undefined) {
      this.#open.delete(path);
      this.#open.set(path, open);
      return open;
    }
    const [parent, name] = this.parentOf(path);
    const opened = parent.openDirectory(name);
    this.#open.set(path, opened);
    // Not one of those above it, which are in use: they were used later than the oldest of so many.
    if (this.#open.size > maxOpenDirectories) {
      const [oldest] = this.#open;
      if (oldest !== undefined) {
        this.#open.delete(oldest[0]);
        oldest[1].close();
      }
    }
    return opened;
  }
}
