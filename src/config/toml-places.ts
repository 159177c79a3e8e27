// Where each key of a TOML document stands, which its parser does not tell. For documents that were
// parsed without an error: it knows strings, arrays and tables just enough to step over them.

export type TomlPlace = { readonly line: number; readonly column: number };

/** By dotted key, such as `server.port`; of a repeated one (`[[tokens]]`) the first. */
export function tomlPlaces(text: string): ReadonlyMap<string, TomlPlace> {
  return new TomlScanner(text).scan();
}

class TomlScanner {
  readonly #text: string;
  readonly #places = new Map<string, TomlPlace>();
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): ReadonlyMap<string, TomlPlace> {
    let table: readonly string[] = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      if (this.#peek() === '[') {
        while (this.#peek() === '[') this.#step();
        table = this.#key([]);
        while (this.#peek() === ']') this.#step();
      } else {
        this.#pair(table);
      }
    }
    return this.#places;
  }

  #pair(parents: readonly string[]): void {
    const path = this.#key(parents);
    // The equals sign.
    this.#step();
    this.#skipBlank();
    this.#value(path);
  }

  /** Reads a key with its dots and notes where it began, for every table on the way. */
  #key(parents: readonly string[]): readonly string[] {
    this.#skipBlank();
    const place = { line: this.#line, column: this.#at - this.#lineStart + 1 };
    let path = parents;
    for (;;) {
      this.#skipBlank();
      path = [...path, this.#word()];
      const name = path.join('.');
      if (!this.#places.has(name)) this.#places.set(name, place);
      this.#skipBlank();
      if (this.#peek() !== '.') return path;
      this.#step();
    }
  }

  #word(): string {
    const start = this.#at;
    const quote = this.#peek();
    if (quote === '"' || quote === "'") {
      this.#string();
      const inner = this.#text.slice(start + 1, this.#at - 1);
      return quote === '"' ? unescaped(inner) : inner;
    }
    while (/[A-Za-z0-9_-]/.test(this.#peek())) this.#step();
    // Not a key after all: go on, rather than stand still.
    if (this.#at === start) this.#step();
    return this.#text.slice(start, this.#at);
  }

  #value(path: readonly string[]): void {
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#list(']', () => this.#value(path));
    else if (first === '{') this.#list('}', () => this.#pair(path));
    else this.#bareValue();
  }

  #bareValue(): void {
    // The first character is taken whatever it is: in a document that is no TOML after all, it must end.
    do this.#step();
    while (this.#at < this.#text.length && !/[,\]}#\n]/.test(this.#peek()));
  }

  #list(end: string, readEntry: () => void): void {
    this.#step();
    for (;;) {
      this.#skipBlank();
      while (this.#peek() === ',') {
        this.#step();
        this.#skipBlank();
      }
      if (this.#peek() === end || this.#at >= this.#text.length) break;
      readEntry();
    }
    this.#step();
  }

  #string(): void {
    const quote = this.#peek();
    const isLong = this.#text.startsWith(quote.repeat(3), this.#at);
    const mark = isLong ? quote.repeat(3) : quote;
    for (let count = 0; count < mark.length; count += 1) this.#step();
    while (this.#at < this.#text.length && !this.#text.startsWith(mark, this.#at)) {
      if (quote === '"' && this.#peek() === '\\') this.#step();
      this.#step();
    }
    for (let count = 0; count < mark.length; count += 1) this.#step();
    // A long string may end in up to two quotes of its own.
    if (isLong) while (this.#peek() === quote) this.#step();
  }

  #skipBlank(): void {
    for (;;) {
      if (/\s/.test(this.#peek())) this.#step();
      else if (this.#peek() === '#') while (this.#at < this.#text.length && this.#peek() !== '\n') this.#step();
      else return;
    }
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #step(): void {
    if (this.#peek() === '\n') {
      this.#line += 1;
      this.#lineStart = this.#at + 1;
    }
    this.#at += 1;
  }
}

function unescaped(text: string): string {
  try {
    return JSON.parse(`"${text}"`) as string;
  } catch {
    return text;
  }
}
