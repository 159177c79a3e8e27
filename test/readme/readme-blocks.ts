// The code blocks of the README and of the pages beside it, and how the output that they show is held
// against a real one: JSON by its fields and their types, text as it is, with `…` for anything and any
// number for a number.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../e2e/fleet-under-test.ts';

export type CodeBlock = {
  readonly file: string;
  readonly line: number;
  readonly language: string;
  /** The word behind the language: `start`, `starts`, `worker`, `cluster`, `google`, `ci`; empty for what is run as it is. */
  readonly kind: string;
  readonly code: string;
};

export type Example = CodeBlock & {
  /** The block that shows its output; null when none follows. */
  readonly shown: CodeBlock | null;
};

const fencePattern = /^```(\w*)(?: (\w+))?$/;
const outputLanguages: readonly string[] = ['json', 'text'];

export function readBlocks(file: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { line: number; language: string; kind: string; lines: string[] } | null = null;
  for (const [index, line] of readFileSync(path.join(repository, file), 'utf8').split('\n').entries()) {
    const fence = fencePattern.exec(line);
    if (open === null && fence !== null) {
      open = { line: index + 1, language: fence[1] ?? '', kind: fence[2] ?? '', lines: [] };
    } else if (open !== null && line === '```') {
      blocks.push({ file, ...open, code: open.lines.join('\n') });
      open = null;
    } else open?.lines.push(line);
  }
  return blocks;
}

/** Each block that does something, with the output shown behind it. */
export function examplesOf(blocks: readonly CodeBlock[]): Example[] {
  return blocks.flatMap((block, index) => {
    if (outputLanguages.includes(block.language)) return [];
    const next = blocks[index + 1];
    return [{ ...block, shown: next !== undefined && outputLanguages.includes(next.language) ? next : null }];
  });
}

/** What is shown and is not so: fields that are missing or of another type. Fields may have been added since. */
export function untrueParts(shown: unknown, real: unknown, at = 'body'): string[] {
  if (typeOf(shown) !== typeOf(real)) return [`${at} is ${typeOf(real)}, shown as ${typeOf(shown)}`];
  if (typeof shown !== 'object' || shown === null) return [];
  const found = real as Readonly<Record<string, unknown>>;
  return Object.entries(shown).flatMap(([key, child]) => untrueParts(child, found[key], `${at}.${key}`));
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : typeof value;
}

/** A pattern that finds the shown text in a real output. */
export function patternOf(shown: string): RegExp {
  const pieces = shown.split(/(…|\d+)/).map((piece) => {
    if (piece === '…') return '[\\s\\S]*?';
    return /^\d+$/.test(piece) ? '\\d+' : piece.replaceAll(/[$()*+./?[\\\]^{|}]/g, '\\$&');
  });
  return new RegExp(pieces.join(''));
}
