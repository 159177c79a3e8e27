// The README exists in two languages. Prose may differ; what a reader copies may not: both must
// carry the same code blocks in the same order.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

type CodeBlock = { readonly line: number; readonly text: string };

const names = ['README.md', 'README.pt-BR.md'] as const;

function codeBlocks(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let fence: string | null = null;
  let start = 0;
  let lines: string[] = [];
  for (const [index, line] of markdown.split('\n').entries()) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence === null && mark !== undefined) {
      fence = mark;
      start = index + 1;
      lines = [line];
    } else if (fence !== null) {
      lines.push(line);
      if (mark?.startsWith(fence) === true && line.trim() === mark) {
        blocks.push({ line: start, text: lines.join('\n') });
        fence = null;
      }
    }
  }
  if (fence !== null) blocks.push({ line: start, text: lines.join('\n') });
  return blocks;
}

const [english, portuguese] = names.map((name) =>
  codeBlocks(readFileSync(join(dirname(import.meta.dirname), name), 'utf8')),
);
if (english === undefined || portuguese === undefined) throw new Error('two READMEs are compared');

let differences = 0;
for (let index = 0; index < Math.max(english.length, portuguese.length); index += 1) {
  const [a, b] = [english[index], portuguese[index]];
  if (a?.text === b?.text) continue;
  differences += 1;
  const where = (name: string, block: CodeBlock | undefined): string =>
    block === undefined ? `${name} has no code block ${index + 1}` : `${name}:${block.line}\n${block.text}`;
  console.log(`${where(names[0], a)}\ndiffers from\n${where(names[1], b)}\n`);
}
if (differences > 0) process.exitCode = 1;
