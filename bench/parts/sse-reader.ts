// Reads server-sent events as cheaply as can be: counts them by their marks in the raw bytes, and notes
// when the first and the last came. Parses nothing.

import { Client } from 'undici';
import { MarkCounter } from './mark-counter.ts';

export type SseOptions = {
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** With a body it is a POST. */
  readonly body?: string;
  /** What counts, such as `event: item.delta`. The line's end is added. */
  readonly mark: string;
  readonly onText?: (text: string) => void;
};

export class SseReader {
  readonly #client: Client;
  readonly #marks: MarkCounter;
  readonly #onText: ((text: string) => void) | null;
  readonly #ended = Promise.withResolvers<void>();
  firstMs = 0;
  lastMs = 0;

  private constructor(options: SseOptions) {
    this.#client = new Client(options.url, { bodyTimeout: 0 });
    this.#marks = new MarkCounter(`${options.mark}\n`);
    this.#onText = options.onText ?? null;
  }

  /** Resolves once the answer has begun. */
  static async open(options: SseOptions): Promise<SseReader> {
    const reader = new SseReader(options);
    const answer = await reader.#client.request({
      method: options.body === undefined ? 'GET' : 'POST',
      path: options.path,
      headers: { ...options.headers, accept: 'text/event-stream' },
      body: options.body ?? null,
    });
    if (answer.statusCode !== 200) throw new Error(`${options.path}: ${answer.statusCode} ${await answer.body.text()}`);
    answer.body.on('data', (chunk: Buffer) => reader.#take(chunk));
    answer.body.once('close', () => reader.#ended.resolve());
    answer.body.on('error', () => {});
    return reader;
  }

  get count(): number {
    return this.#marks.count;
  }

  /** Resolves when the server ends the stream. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  #take(chunk: Buffer): void {
    this.#onText?.(chunk.toString('latin1'));
    if (!this.#marks.take(chunk)) return;
    this.lastMs = performance.now();
    if (this.firstMs === 0) this.firstMs = this.lastMs;
  }
}
