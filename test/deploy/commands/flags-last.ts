// Flags before a command are put behind it.

import type { Flag } from './known.ts';

/** Flags for all commands may stand before the command: here they stand behind it. */
export function flagsLast(words: readonly string[], globals: Readonly<Record<string, Flag>>): string[] {
  const [first = '', second, ...rest] = words;
  if (!first.startsWith('-') || second === undefined) return [...words];
  const takesNext = !first.includes('=') && globals[first] !== undefined && globals[first] !== 'bool';
  return takesNext ? [...flagsLast(rest, globals), first, second] : [...flagsLast([second, ...rest], globals), first];
}
