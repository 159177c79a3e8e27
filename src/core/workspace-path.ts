// How a file of a workspace is named: relative, with / between names. What fails here never reaches a
// directory. Whether anything has that name is not known here.

export const maxPathBytes = 4096;
export const maxNameBytes = 255;

/** Which rule the path breaks, as the end of a sentence about it; null for a path that is one. */
export function pathProblem(path: string): string | null {
  if (path === '') return 'must not be empty';
  if (path.length > maxPathBytes || !path.isWellFormed()) {
    return path.length > maxPathBytes ? tooLong : 'has a lone surrogate, which is not text';
  }
  if (path.includes('\0')) return 'must not have a NUL';
  if (path.startsWith('/')) return 'must be relative to the workspace, without a / in front';
  if (utf8Bytes(path) > maxPathBytes) return tooLong;
  for (const name of path.split('/')) {
    if (name === '') return 'must not have an empty name between, or a / at the end';
    if (name === '.' || name === '..') return 'must not have "." or ".." as a name';
    if (utf8Bytes(name) > maxNameBytes) return `must not have a name of more than ${maxNameBytes} bytes`;
  }
  return null;
}

const tooLong = `must have at most ${maxPathBytes} bytes`;

function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0;
    bytes += codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
  }
  return bytes;
}
