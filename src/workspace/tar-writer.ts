// The blocks of a tar archive: ustar, with a pax header where a name or a size does not fit. Whoever asks
// for the blocks in turn holds no more than one entry's.

const blockBytes = 512;
const maxOctalSize = 0o77777777777;

export type TarHeader = {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink';
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
  readonly linkName: string;
};

const typeFlags = { file: '0', directory: '5', symlink: '2' } as const;

export function tarHeader(header: TarHeader): Buffer {
  const pax: [string, string][] = [];
  if (!fits(header.name)) pax.push(['path', header.name]);
  if (!fits(header.linkName)) pax.push(['linkpath', header.linkName]);
  if (header.size > maxOctalSize) pax.push(['size', String(header.size)]);
  const plain = {
    ...header,
    name: fits(header.name) ? header.name : 'in-pax-header',
    linkName: fits(header.linkName) ? header.linkName : 'in-pax-header',
    size: Math.min(header.size, maxOctalSize),
  };
  const block = ustarBlock(plain, typeFlags[header.type]);
  if (pax.length === 0) return block;
  const records = Buffer.concat(pax.map(([key, value]) => paxRecord(key, value)));
  const paxHeader = { ...plain, name: 'PaxHeader', linkName: '', size: records.length, mode: 0o644 };
  return Buffer.concat([ustarBlock(paxHeader, 'x'), records, tarPadding(records.length), block]);
}

export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

function fits(text: string): boolean {
  return Buffer.byteLength(text) <= 100 && /^[\x20-\x7e]*$/.test(text);
}

function ustarBlock(header: Omit<TarHeader, 'type'>, typeFlag: string): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(header.name, 0, 100, 'latin1');
  block.write(octal(header.mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(header.size, 11), 124);
  block.write(octal(Math.max(0, Math.min(Math.trunc(header.modifiedAt / 1000), maxOctalSize)), 11), 136);
  block.write(' '.repeat(8), 148);
  block.write(typeFlag, 156);
  block.write(header.linkName, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, octet) => total + octet, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'latin1');
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

/** Its length counts its own digits. */
function paxRecord(key: string, value: string): Buffer {
  const bytes = Buffer.byteLength(` ${key}=${value}\n`);
  let length = bytes + 1;
  while (String(length).length + bytes !== length) length = String(length).length + bytes;
  return Buffer.from(`${length} ${key}=${value}\n`);
}
