// One file's change as git writes it, so that `git apply` takes it. Knows texts; not where they come from.

import { structuredPatch } from 'diff';

/** null where the file is not. */
export type TextSide = { readonly mode: string | null; readonly text: string };

export type TextPatch = { readonly patch: string; readonly additions: number; readonly deletions: number };

const contextLines = 3;
/** For one comparison: nothing else runs meanwhile. */
const comparisonMs = 100;
const mostLines = 50_000;

/** null when comparing would take too long. */
export function textPatch(path: string, before: TextSide, after: TextSide): TextPatch | null {
  const hunks = before.mode === null || after.mode === null ? wholeHunk(before, after) : comparedHunks(before, after);
  if (hunks === null) return null;
  let additions = 0;
  let deletions = 0;
  const lines: string[] = [...headerOf(path, before, after, hunks.length > 0)];
  for (const hunk of hunks) {
    lines.push(`@@ -${rangeOf(hunk.oldStart, hunk.oldLines)} +${rangeOf(hunk.newStart, hunk.newLines)} @@`);
    for (const line of hunk.lines) {
      if (line.startsWith('+')) additions += 1;
      else if (line.startsWith('-')) deletions += 1;
      lines.push(line);
    }
  }
  return { patch: `${lines.join('\n')}\n`, additions, deletions };
}

type Hunk = {
  readonly oldStart: number;
  readonly oldLines: number;
  readonly newStart: number;
  readonly newLines: number;
  readonly lines: readonly string[];
};

function comparedHunks(before: TextSide, after: TextSide): readonly Hunk[] | null {
  if (before.text === after.text) return [];
  if (hasTooManyLines(before.text) || hasTooManyLines(after.text)) return null;
  const compared = structuredPatch('', '', before.text, after.text, undefined, undefined, {
    context: contextLines,
    timeout: comparisonMs,
  });
  return compared?.hunks ?? null;
}

/** All of a file that came or went: there is nothing to compare. */
function wholeHunk(before: TextSide, after: TextSide): readonly Hunk[] {
  const isNew = before.mode === null;
  const { text } = isNew ? after : before;
  if (text === '') return [];
  const rows = text.split('\n');
  const endsWithNewline = rows.at(-1) === '';
  if (endsWithNewline) rows.pop();
  const sign = isNew ? '+' : '-';
  const lines = rows.map((row) => sign + row);
  if (!endsWithNewline) lines.push('\\ No newline at end of file');
  return isNew
    ? [{ oldStart: 1, oldLines: 0, newStart: 1, newLines: rows.length, lines }]
    : [{ oldStart: 1, oldLines: rows.length, newStart: 1, newLines: 0, lines }];
}

/** Of no lines, the place is the line before. */
function rangeOf(start: number, lines: number): string {
  if (lines === 0) return `${start - 1},0`;
  return lines === 1 ? String(start) : `${start},${lines}`;
}

function* headerOf(path: string, before: TextSide, after: TextSide, hasHunks: boolean): Generator<string> {
  yield `diff --git ${quoted(`a/${path}`)} ${quoted(`b/${path}`)}`;
  if (before.mode === null) yield `new file mode ${after.mode}`;
  else if (after.mode === null) yield `deleted file mode ${before.mode}`;
  else if (before.mode !== after.mode) {
    yield `old mode ${before.mode}`;
    yield `new mode ${after.mode}`;
  }
  if (!hasHunks) return;
  // Behind a name with a space, git wants a tab to know where it ends.
  const end = path.includes(' ') ? '\t' : '';
  yield before.mode === null ? '--- /dev/null' : `--- ${quoted(`a/${path}`)}${end}`;
  yield after.mode === null ? '+++ /dev/null' : `+++ ${quoted(`b/${path}`)}${end}`;
}

const escapes: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' };

/** As git does: what would break a line stands in quotes. */
export function quoted(path: string): string {
  // oxlint-disable-next-line no-control-regex
  const escaped = path.replaceAll(/[\x00-\x1f\x7f"\\]/g, (character) => {
    return escapes[character] ?? `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`;
  });
  return escaped === path ? path : `"${escaped}"`;
}

function hasTooManyLines(text: string): boolean {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    lines += 1;
    if (lines > mostLines) return true;
  }
  return false;
}
