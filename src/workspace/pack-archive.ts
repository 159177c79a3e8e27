// A part of a tree as a compressed tar stream, made while it is read: no more of it is in memory than a
// few pieces. Links are written as what they say; special files have no place in an archive.

import { pipeline, Readable } from 'node:stream';
import { createGzip, createZstdCompress } from 'node:zlib';
import { isServiceError } from '../core/errors.ts';
import { tarEnd, tarHeader, tarPadding } from './tar-writer.ts';
import type { Tree, TreeEntry } from './tree.ts';

export type ArchiveFormat = 'tar.gz' | 'tar.zst';

/** The entries below `path`, named from there. Nothing is opened before somebody reads, nothing stays open behind. */
export async function* packTree(tree: Tree, path: string, format: ArchiveFormat): AsyncGenerator<Uint8Array> {
  const compressor = format === 'tar.gz' ? createGzip() : createZstdCompress();
  // An error is told by the stream that is read.
  const packed = pipeline(Readable.from(tarOf(tree, path)), compressor, () => undefined);
  try {
    yield* packed as AsyncIterable<Buffer>;
  } finally {
    packed.destroy();
  }
}

async function* tarOf(tree: Tree, path: string): AsyncGenerator<Uint8Array> {
  for await (const entry of tree.entries(path, { recursive: true, after: null })) {
    yield* entryOf(tree, entry, path === '' ? entry.path : entry.path.slice(path.length + 1));
  }
  yield tarEnd;
}

async function* entryOf(tree: Tree, entry: TreeEntry, name: string): AsyncGenerator<Uint8Array> {
  const { kind, modifiedAt, target } = entry;
  const common = { modifiedAt, size: 0, linkName: '' };
  if (kind === 'directory') yield tarHeader({ ...common, name: `${name}/`, type: 'directory', mode: 0o755 });
  // One that says nothing went while we looked, or says what is not UTF-8.
  else if (kind === 'symlink' && target !== null && target !== '') {
    yield tarHeader({ ...common, name, type: 'symlink', mode: 0o777, linkName: target });
  } else if (kind === 'file') {
    const file = await tree.read(entry.path, null).catch((error: unknown) => {
      if (isServiceError(error, 'file_not_found')) return null;
      throw error;
    });
    if (file === null) return;
    const { size, isExecutable } = file.entry;
    yield tarHeader({ ...common, name, type: 'file', mode: isExecutable ? 0o755 : 0o644, size });
    yield* file.content;
    yield tarPadding(size);
  }
}
