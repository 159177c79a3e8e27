// Tables for a terminal: columns as wide as what stands in them, nothing drawn.

import { printable } from './output.ts';

/** Ends with a line end. What agents and clients wrote cannot steer the terminal. */
export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((cells) => cells.map((cell) => printable(cell).replaceAll(/[\n\t]/g, ' ')));
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => (cells[column] ?? '').length)));
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** `key  value` lines, for one thing with many facts. */
export function factLines(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${name.padEnd(width)}   ${printable(value)}\n`).join('');
}
