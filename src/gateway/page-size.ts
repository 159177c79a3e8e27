// How long an answer with a list may be: a page of the longest prompts would be too much for one string,
// for the memory of a server with many readers, and for whoever waits behind it.

export const maxPageCharacters = 8 * 1024 * 1024;

/** As many from the front as fit, one in any case. */
export function fittingPage<T>(entries: readonly T[], lengthOf: (entry: T) => number): readonly T[] {
  let length = 0;
  for (const [index, entry] of entries.entries()) {
    length += lengthOf(entry);
    if (length > maxPageCharacters && index > 0) return entries.slice(0, index);
  }
  return entries;
}
