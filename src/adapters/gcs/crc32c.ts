// CRC32C (Castagnoli), eight bytes at a step: 500 MB/s where the client library's own, a byte at a step, does
// 100, and this runs on the loop that serves clients.

const polynomial = 0x82f63b78;

const tables: readonly Int32Array[] = makeTables();

/** Of `bytes` behind what `before` is the checksum of. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as unknown as readonly [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  // Every index is within: the casts save a check per byte.
  const at = (table: Int32Array, index: number): number => table[index & 255] as number;
  const { length } = bytes;
  let crc = ~before;
  let index = 0;
  for (; index + 8 <= length; index += 8) {
    crc ^=
      (bytes[index] as number) |
      ((bytes[index + 1] as number) << 8) |
      ((bytes[index + 2] as number) << 16) |
      ((bytes[index + 3] as number) << 24);
    crc =
      at(t7, crc) ^
      at(t6, crc >>> 8) ^
      at(t5, crc >>> 16) ^
      at(t4, crc >>> 24) ^
      at(t3, bytes[index + 4] as number) ^
      at(t2, bytes[index + 5] as number) ^
      at(t1, bytes[index + 6] as number) ^
      at(t0, bytes[index + 7] as number);
  }
  for (; index < length; index += 1) crc = at(t0, crc ^ (bytes[index] as number)) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** As Cloud Storage writes it: big-endian, base64. */
export function crc32cText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

function makeTables(): readonly Int32Array[] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    return crc;
  });
  const all = [first];
  for (let step = 1; step < 8; step += 1) {
    const before = all[step - 1] ?? first;
    all.push(before.map((crc) => (first[crc & 255] ?? 0) ^ (crc >>> 8)));
  }
  return all;
}
