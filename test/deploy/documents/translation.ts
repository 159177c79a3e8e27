// Whether a page says the same in both languages, as far as a program can tell: its counterpart is there and linked,
// the headings are as many and as deep, the code is the same but for its comments and for pictures, and the names
// of things are the same.

import path from 'node:path';
import type { Block, Page } from './page.ts';

/** Pictures and what is shown in words: translated. */
const translated = 'text';

/** What differs, in sentences. Both are pages of the same name. */
export function translationFaults(english: Page, other: Page): string[] {
  const differ = (what: string, here: readonly string[], there: readonly string[]): string[] => {
    const [missing, added] = [
      here.filter((each) => !there.includes(each)),
      there.filter((each) => !here.includes(each)),
    ];
    const faults = [...missing.map((each) => `lacks ${each}`), ...added.map((each) => `alone has ${each}`)];
    return faults.map((fault) => `${other.file}: ${what}: ${fault}`);
  };
  const levels = ({ headings }: Page): string => headings.map(({ level }) => level).join(' ');
  return [
    ...[english, other].flatMap((page) => {
      const counterpart = page === english ? other : english;
      const link = path.posix.relative(path.posix.dirname(page.file), counterpart.file);
      return page.links[0] === link ? [] : [`${page.file}: the first link is not ${link}`];
    }),
    ...(levels(english) === levels(other)
      ? []
      : [`${other.file}: levels of headings ${levels(other)}, in English ${levels(english)}`]),
    ...blockFaults(english, other),
    ...differ('names', [...new Set(english.inline)], [...new Set(other.inline)]),
  ];
}

function blockFaults(english: Page, other: Page): string[] {
  if (english.blocks.length !== other.blocks.length) {
    return [`${other.file}: ${other.blocks.length} blocks of code, in English ${english.blocks.length}`];
  }
  return english.blocks.flatMap((block, index) => {
    const there = other.blocks[index];
    const [here, elsewhere] = [comparable(block).split('\n'), there === undefined ? [] : comparable(there).split('\n')];
    const line = here.find((text, at) => text !== elsewhere[at]) ?? elsewhere[here.length];
    return line === undefined ? [] : [`${other.file}: block ${index + 1} differs from the English one: ${line}`];
  });
}

function comparable({ code, language }: Block): string {
  if (language === translated) return language;
  // A comment stands by itself or behind blanks; nothing of ours has such a sign within quotes.
  return `${language}\n${code.replaceAll(/(^|\s)\s*#(?: [^\n]*)?$/gm, '$1').replaceAll(/[ \t]+$/gm, '')}`;
}
