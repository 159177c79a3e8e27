// Octets with their SHA-256 behind them: who reads them knows that they are all of them, and as they were. A
// trailer of HTTP would say it too, but not through every client and proxy. Streams; holds nothing but the sum.

/** As node:crypto's. */
export type Sum = { update(bytes: Uint8Array): unknown; digest(): Uint8Array };

export const sumBytes = 32;

/** What has come is not what was sent, or not all of it. */
export class SumMismatch extends Error {
  constructor() {
    super('octets came with a sum that is not theirs');
    this.name = 'SumMismatch';
  }
}

/** Long pieces are cut, so that neither the sum nor a socket has many megabytes of one at a time. */
const mostAtOnceBytes = 256 * 1024;

export async function* withSum(
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  sum: Sum,
): AsyncGenerator<Uint8Array> {
  for await (const piece of content) {
    for (let at = 0; at < piece.length; at += mostAtOnceBytes) {
      const part = piece.subarray(at, at + mostAtOnceBytes);
      sum.update(part);
      yield part;
    }
  }
  yield sum.digest();
}

/** Throws SumMismatch behind the last piece where the sum is another: whoever stores them must not be done before. */
export async function* withoutSum(content: AsyncIterable<Uint8Array>, sum: Sum): AsyncGenerator<Uint8Array> {
  let held: Uint8Array = new Uint8Array(0);
  for await (const piece of content) {
    const ready = Math.max(0, held.length + piece.length - sumBytes);
    const fromHeld = held.subarray(0, ready);
    const fromPiece = piece.subarray(0, Math.max(0, ready - held.length));
    const rest = joined(held.subarray(fromHeld.length), piece.subarray(fromPiece.length));
    for (const part of [fromHeld, fromPiece]) {
      if (part.length === 0) continue;
      sum.update(part);
      yield part;
    }
    held = rest;
  }
  const expected = sum.digest();
  if (held.length !== sumBytes || held.some((byte, at) => byte !== expected[at])) throw new SumMismatch();
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}
