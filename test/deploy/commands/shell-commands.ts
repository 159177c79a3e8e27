// Reads the gcloud and kubectl commands out of shell text: scripts' dry runs, fenced blocks of documents. Knows
// quotes, continued lines, comments, pipelines, substitutions and here-documents; it does not run anything.

export type FoundCommand = { readonly words: readonly string[]; readonly where: string };

const keywords = new Set(['if', 'then', 'else', 'elif', 'while', 'until', 'do', '!', '{', '(', 'time', 'sudo', 'exec']);
const tools = new Set(['gcloud', 'kubectl', 'gsutil', 'docker']);

/** Words of each simple command; an operator ends one. */
export function splitCommands(text: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | null = null;
  const inner: string[] = [];
  const endWord = (): void => {
    if (word !== null) words.push(word);
    word = null;
  };
  const endCommand = (): void => {
    endWord();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  const source = withoutHereDocuments(text).replaceAll('\\\n', ' ');
  for (let at = 0; at < source.length; at += 1) {
    const sign = source[at] ?? '';
    const next = source[at + 1] ?? '';
    if (sign === '\\') {
      word = (word ?? '') + next;
      at += 1;
    } else if (sign === "'") {
      const end = source.indexOf("'", at + 1);
      word = (word ?? '') + source.slice(at + 1, end === -1 ? undefined : end);
      if (end === -1) break;
      at = end;
    } else if (sign === '"') {
      const end = endOfQuoted(source, at + 1);
      const quoted = source.slice(at + 1, end);
      inner.push(...substitutionsIn(quoted));
      word = (word ?? '') + quoted.replaceAll(/\\(["\\$`])/g, '$1');
      at = end;
    } else if (sign === '$' && next === '(') {
      const end = endOfParenthesis(source, at + 2);
      inner.push(source.slice(at + 2, end));
      word = `${word ?? ''}$(…)`;
      at = end;
    } else if (sign === '#' && word === null) {
      const end = source.indexOf('\n', at);
      at = end === -1 ? source.length : end - 1;
    } else if (/[<>]/.test(sign)) {
      // The number before, the sign after, and the file.
      if (word !== null && /^\d$/.test(word)) word = null;
      endWord();
      const [skipped = ''] = /^[<>&]*\s*[^\s;|&()]*/.exec(source.slice(at)) ?? [];
      at += Math.max(skipped.length, 1) - 1;
    } else if (/[\n;|&()]/.test(sign)) endCommand();
    else if (/\s/.test(sign)) endWord();
    else word = (word ?? '') + sign;
  }
  endCommand();
  return [...commands, ...inner.flatMap(splitCommands)];
}

function endOfQuoted(source: string, from: number): number {
  for (let at = from; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source[at] === '$' && source[at + 1] === '(') at = endOfParenthesis(source, at + 2);
    else if (source[at] === '"') return at;
  }
  return source.length;
}

function endOfParenthesis(source: string, from: number): number {
  let depth = 1;
  for (let at = from; at < source.length; at += 1) {
    if (source[at] === '(') depth += 1;
    if (source[at] === ')') depth -= 1;
    if (depth === 0) return at;
  }
  return source.length;
}

function substitutionsIn(quoted: string): string[] {
  return [...quoted.matchAll(/\$\(/g)].map(({ index }) => quoted.slice(index + 2, endOfParenthesis(quoted, index + 2)));
}

function withoutHereDocuments(text: string): string {
  return text.replaceAll(/<<-?\s*(['"]?)([A-Za-z_]+)\1([^\n]*)\n[\s\S]*?\n\s*\2(?=\n|$)/g, '$3');
}

/** Those of the tools that are checked. */
export function findCommands(text: string, where: string): FoundCommand[] {
  return splitCommands(text).flatMap((all) => {
    const start = all.findIndex((word) => !keywords.has(word) && !/^[A-Za-z_][A-Za-z0-9_]*=/.test(word));
    const words = start === -1 ? [] : all.slice(start);
    return tools.has(words[0] ?? '') ? [{ words, where }] : [];
  });
}

/** The fenced blocks of shell in a document. */
export function findInMarkdown(text: string, where: string): FoundCommand[] {
  const blocks = [...text.matchAll(/^( *)```(?:bash|sh|shell|console)\b[^\n]*\n([\s\S]*?)^\1```/gm)];
  return blocks.flatMap(([, , block = '']) => findCommands(block.replaceAll(/^\s*\$ /gm, ''), where));
}
