// Tar archives as nobody's tar would make them: every field can be set, true or not.

import { gzipSync } from 'node:zlib';

export type HandEntry = {
  readonly name?: string | Buffer;
  /** The type flag. */
  readonly type?: string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly content?: string | Buffer;
  /** Said in the header, whatever the content has. */
  readonly size?: number | string;
  readonly breaksChecksum?: boolean;
};

export function tarByHand(entries: readonly HandEntry[], end: Buffer = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), end]);
}

export function gzByHand(entries: readonly HandEntry[], end?: Buffer): Buffer {
  return gzipSync(tarByHand(entries, end));
}

export function paxByHand(fields: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): HandEntry {
  const content = Object.entries(fields)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = Buffer.byteLength(rest) + 1;
      while (String(length).length + Buffer.byteLength(rest) !== length) length += 1;
      return `${length}${rest}`;
    })
    .join('');
  return { name: 'PaxHeader', type, content };
}

function blocksOf(entry: HandEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? '');
  const block = Buffer.alloc(512);
  Buffer.from(entry.name ?? 'file').copy(block, 0, 0, 100);
  block.write((entry.mode ?? 0o644).toString(8).padStart(7, '0'), 100);
  const size = entry.size ?? content.length;
  block.write(typeof size === 'string' ? size : size.toString(8).padStart(11, '0'), 124);
  block.write('00000000000', 136);
  block.write(entry.type ?? '0', 156);
  block.write(entry.linkName ?? '', 157, 100);
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, octet) => total + octet, entry.breaksChecksum === true ? 1 : 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return [block, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}
