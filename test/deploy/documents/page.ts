// A page of the documentation, taken apart: headings with their anchors, fenced blocks, links, pieces of code in a
// line. Anchors are made as GitHub makes them.

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

export type Block = { readonly language: string; readonly code: string };

export type Page = {
  /** From the root of the repository. */
  readonly file: string;
  readonly text: string;
  readonly headings: readonly { readonly level: number; readonly anchor: string }[];
  readonly blocks: readonly Block[];
  readonly links: readonly string[];
  readonly inline: readonly string[];
};

export const root = path.resolve(import.meta.dirname, '..', '..', '..');

export function filesOf(...patterns: readonly string[]): string[] {
  return globSync([...patterns], { cwd: root }).toSorted();
}

export function readPage(file: string): Page {
  return parsePage(file, readFileSync(path.join(root, file), 'utf8'));
}

export function parsePage(file: string, text: string): Page {
  const blocks: Block[] = [];
  const prose = text.replaceAll(
    /^( *)(`{3,})(\w*)[^\n]*\n([\s\S]*?)^\1\2`*$/gm,
    (_, _indent, _fence, language: string, code: string) => {
      blocks.push({ language, code });
      return '';
    },
  );
  const withoutCode = prose.replaceAll(/`[^`\n]+`/g, '``');
  return {
    file,
    text,
    blocks,
    headings: headingsOf(prose),
    links: [...withoutCode.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => target),
    inline: [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code),
  };
}

function headingsOf(prose: string): { level: number; anchor: string }[] {
  const seen = new Map<string, number>();
  return [...prose.matchAll(/^(#{1,6}) +(.+?) *$/gm)].map(([, signs = '', title = '']) => {
    const plain = anchorOf(title);
    const before = seen.get(plain) ?? 0;
    seen.set(plain, before + 1);
    return { level: signs.length, anchor: before === 0 ? plain : `${plain}-${before}` };
  });
}

function anchorOf(title: string): string {
  return title
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-');
}

/** Anchors that a page writes itself, such as those of the register of errors, among them. */
export function anchorsOf({ headings, text }: Page): ReadonlySet<string> {
  const written = [...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id);
  return new Set([...headings.map(({ anchor }) => anchor), ...written]);
}

/** Links that lead nowhere: to no file, or to a page without that heading. `read`: null where no file is. */
export function brokenLinks(page: Page, read: (file: string) => Page | 'other' | null): string[] {
  return page.links.flatMap((link) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [target = '', anchor] = link.split('#');
    const file = target === '' ? page.file : path.posix.join(path.posix.dirname(page.file), target);
    const found = file === page.file ? page : read(file);
    if (found === null) return [`${page.file}: ${link}: there is no such file`];
    if (anchor === undefined || found === 'other' || anchorsOf(found).has(anchor)) return [];
    return [`${page.file}: ${link}: ${file} has no such heading`];
  });
}
