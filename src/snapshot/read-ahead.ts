// Asks for pieces before they are needed: from a store across the network each costs a round trip, and a
// restore needs many. Bounded in number and in bytes, those that wait to be taken included.

export type ReadAheadBounds = { readonly maxReads: number; readonly maxBytes: number };

/** Four restores at once, each with the most: a part of what their packs take when they are written. */
export const restoreBounds: ReadAheadBounds = { maxReads: 16, maxBytes: 32 * 1024 * 1024 };

/** In the order of the items. One that is larger than the bound is read alone. */
export async function* readAhead<T, R>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  read: (item: T) => Promise<R>,
  { maxReads, maxBytes }: ReadAheadBounds = restoreBounds,
): AsyncGenerator<readonly [item: T, result: R], void, void> {
  const asked: { readonly item: T; readonly result: Promise<R> }[] = [];
  let heldBytes = 0;
  let next = 0;
  for (;;) {
    for (let item = items[next]; item !== undefined && next < items.length; item = items[next]) {
      const isFull = asked.length >= maxReads || heldBytes + bytesOf(item) > maxBytes;
      if (isFull && asked.length > 0) break;
      const result = read(item);
      // Awaited in its turn; until then a failure of it must not end the process.
      result.catch(() => undefined);
      asked.push({ item, result });
      heldBytes += bytesOf(item);
      next += 1;
    }
    const first = asked[0];
    if (first === undefined) return;
    yield [first.item, await first.result];
    // It was held until now.
    asked.shift();
    heldBytes -= bytesOf(first.item);
  }
}
