// Bytes ↔ lines of JSON, with a size limit. Knows newlines and UTF-8; what the lines mean is for
// connection.ts to say.

import { ServiceError } from '../core/errors.ts';

/** Codex sends a whole item in one line: large, but never larger than this in good health. */
export const defaultMaxLineBytes = 64 * 1024 * 1024;

const newline = 0x0a;

/** A line of the agent's that is too long to hold: the stream cannot be trusted from there on. */
export class LineTooLong extends Error {
  readonly maxLineBytes: number;

  constructor(maxLineBytes: number) {
    super(`a line is longer than ${maxLineBytes} bytes`);
    this.name = 'LineTooLong';
    this.maxLineBytes = maxLineBytes;
  }
}

/**
 * Cuts a byte stream into lines. Pieces of an unfinished line are kept as they came and joined once,
 * so a long line costs its length and not its square. A line is valid only during the callback.
 */
export class LineReader {
  readonly #maxLineBytes: number;
  readonly #onLine: (line: Buffer) => void;
  #pieces: Buffer[] = [];
  #pendingBytes = 0;

  constructor(options: { readonly maxLineBytes: number; readonly onLine: (line: Buffer) => void }) {
    this.#maxLineBytes = options.maxLineBytes;
    this.#onLine = options.onLine;
  }

  /** Bytes of a line that has not ended. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Throws LineTooLong, after which nothing more may be pushed. */
  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      const piece = end === -1 ? chunk.subarray(start) : chunk.subarray(start, end);
      if (this.#pendingBytes + piece.length > this.#maxLineBytes) throw new LineTooLong(this.#maxLineBytes);
      if (end === -1) {
        this.#keep(piece);
        return;
      }
      this.#onLine(this.#finish(piece));
      start = end + 1;
    }
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#pendingBytes += piece.length;
  }

  #finish(last: Buffer): Buffer {
    if (this.#pendingBytes === 0) return last;
    const line = Buffer.concat([...this.#pieces, last], this.#pendingBytes + last.length);
    this.#pieces = [];
    this.#pendingBytes = 0;
    return line;
  }
}

/**
 * One message as bytes with its newline. Refuses a lone surrogate: JSON would carry it as an escape
 * that Codex drops without an answer.
 */
export function encodeLine(message: Readonly<Record<string, unknown>>): Buffer {
  const text = JSON.stringify(message);
  if (mayHoldLoneSurrogate(text)) refuseIllFormed(message);
  return Buffer.from(`${text}\n`, 'utf8');
}

/** JSON.stringify escapes surrogates only when they are alone; text that merely looks so is sorted out by the caller. */
function mayHoldLoneSurrogate(json: string): boolean {
  return json.includes('\\ud');
}

function refuseIllFormed(message: Readonly<Record<string, unknown>>): void {
  JSON.stringify(message, (key, value: unknown) => {
    if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) {
      throw new ServiceError('invalid_request', { field: key.toWellFormed(), problem: 'is not well-formed Unicode' });
    }
    return value;
  });
}
