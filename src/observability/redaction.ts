// What never reaches a log: credentials, prompts and outputs, wherever in the facts they hide.
// Decides by the field's name, and by the shape of text that is a credential whatever its name.

export const redacted = '[redacted]';

/** Names as they compare: lower case, without `_` and `-`. */
const secretNames: ReadonlySet<string> = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'credential',
  'credentials',
  'bearer',
  'ticket',
  'env',
  'environment',
  // What people and models wrote.
  'prompt',
  'prompts',
  'instructions',
  'finalmessage',
  'stdin',
  'stdout',
  'stderr',
  'output',
  'text',
  'delta',
  'body',
  'raw',
]);
const secretEndings = ['token', 'apikey', 'secret', 'password', 'privatekey'] as const;

/** `Bearer …`, keys in OpenAI's form, and credentials inside a URL. */
const secretText = /\b(Bearer\s+)[^\s"',;]+|\bsk-[A-Za-z0-9_-]{8,}|(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;

const maxDepth = 6;
const maxEntries = 100;
const maxShownText = 8192;

export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[_-]/g, '');
  return secretNames.has(plain) || secretEndings.some((ending) => plain.endsWith(ending));
}

export function redactText(text: string): string {
  return text.replace(secretText, (_match, bearer?: string, scheme?: string) =>
    scheme === undefined ? `${bearer ?? ''}${redacted}` : `${scheme}${redacted}@`,
  );
}

/** A copy without secrets; errors become plain objects, and what is too deep or too long is cut. */
export function redactFacts(
  facts: Readonly<Record<string, unknown>>,
  /** Top fields that are written although their names are on the list: cut, and without credentials. */
  shown: ReadonlySet<string> = new Set(),
): Record<string, unknown> {
  const copy = redactEntries(Object.entries(facts), 0);
  for (const name of shown) {
    const text = facts[name];
    if (typeof text === 'string') copy[name] = redactText(text.slice(0, maxShownText));
  }
  return copy;
}

function redactEntries(entries: readonly (readonly [string, unknown])[], depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of entries.slice(0, maxEntries)) {
    copy[name] = isSecretName(name) ? redacted : redactValue(value, depth);
  }
  return copy;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (depth >= maxDepth) return '[cut]';
  if (value instanceof Error) return redactError(value, depth + 1);
  if (Array.isArray(value)) return value.slice(0, maxEntries).map((entry: unknown) => redactValue(entry, depth + 1));
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  return redactEntries(Object.entries(value), depth + 1);
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  const { name, message, stack, cause, ...rest } = error as Error & Record<string, unknown>;
  const facts: [string, unknown][] = [
    ['type', name],
    ['message', message],
    ['stack', stack],
    // Own fields of a ServiceError or of Node's errors: code, details, errno, syscall, …
    ...Object.entries(rest),
  ];
  if (cause !== undefined) facts.push(['cause', cause]);
  return redactEntries(facts, depth);
}
