// Makes a JSON value fit: shortens its strings and lists, and says so. The limit is in bytes of UTF-8
// JSON, because that is what the log and the wire count.

/** Longest string and list kept, tried in this order. */
const attempts = [
  { text: 192 * 1024, list: 10_000 },
  { text: 64 * 1024, list: 2_000 },
  { text: 16 * 1024, list: 500 },
  { text: 2 * 1024, list: 100 },
  { text: 128, list: 10 },
];
const maxDepth = 32;

type JsonObject = Readonly<Record<string, unknown>>;
export type Fitted<T extends JsonObject> = T | (Partial<T> & { readonly truncated: true });

/**
 * The value itself when its JSON has at most `maxBytes`; otherwise a copy with `truncated: true` in which
 * the fields named in `keep` are whole. `sizeHint` is an upper bound of the JSON's length in UTF-16 units, if known.
 */
export function fitJson<T extends JsonObject>(
  value: T,
  maxBytes: number,
  options: { keep: readonly (keyof T & string)[]; sizeHint?: number },
): Fitted<T> {
  // A UTF-16 unit never takes more than three bytes: nearly every event stops here, unmeasured.
  if (options.sizeHint !== undefined && options.sizeHint * 3 <= maxBytes) return value;
  if (utf8Length(JSON.stringify(value)) <= maxBytes) return value;
  const keep = options.keep.filter((key) => Object.hasOwn(value, key));
  const kept = Object.fromEntries(keep.map((key) => [key, value[key]])) as Partial<T>;
  for (const attempt of attempts) {
    const cut = { ...(shorten(value, attempt, 0) as Partial<T>), ...kept, truncated: true as const };
    if (utf8Length(JSON.stringify(cut)) <= maxBytes) return cut;
  }
  return { ...kept, truncated: true };
}

function shorten(value: unknown, limit: { text: number; list: number }, depth: number): unknown {
  if (typeof value === 'string') return cutText(value, limit.text);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= maxDepth) return null;
  if (Array.isArray(value)) return value.slice(0, limit.list).map((element) => shorten(element, limit, depth + 1));
  const entries = Object.entries(value).slice(0, limit.list);
  return Object.fromEntries(entries.map(([key, element]) => [cutText(key, 256), shorten(element, limit, depth + 1)]));
}

/** At most `maxUnits` UTF-16 units, never half a surrogate pair. */
export function cutText(text: string, maxUnits: number): string {
  if (text.length <= maxUnits) return text;
  const last = text.charCodeAt(maxUnits - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? maxUnits - 1 : maxUnits);
}

export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // Each half of a surrogate pair counts two: four for the pair.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
