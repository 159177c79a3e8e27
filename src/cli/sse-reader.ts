// Server-sent events out of a response body. A stream that has gone silent, without even the comments
// that keep it alive, ends as a broken one does: quietly, for the caller to resume.

import { createParser } from 'eventsource-parser';
import type { Clock } from '../core/clock.ts';

/** Beyond this a single event is no event of ours. */
const maxEventCharacters = 64 * 1024 * 1024;

export type SseOptions = {
  readonly clock: Clock;
  /** The longest silence that is not a broken stream. */
  readonly silenceMs: number;
};

/** Yields the `data` of each event. Ends when the stream does, however that is. */
export async function* readSse(body: ReadableStream<Uint8Array>, options: SseOptions): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let ready: string[] = [];
  const parser = createParser({
    onEvent: (event) => void ready.push(event.data),
    maxBufferSize: maxEventCharacters,
  });
  try {
    for (;;) {
      const chunk = await readChunk(reader, options);
      if (chunk === null) return;
      parser.feed(decoder.decode(chunk, { stream: true }));
      const events = ready;
      ready = [];
      yield* events;
    }
  } finally {
    // Ends the connection when the caller stops early; a broken one refuses, which changes nothing.
    await reader.cancel().catch(() => {});
  }
}

async function readChunk(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { clock, silenceMs }: SseOptions,
): Promise<Uint8Array | null> {
  const cancelDeadline = clock.after(silenceMs, () => void reader.cancel().catch(() => {}));
  try {
    const { done, value } = await reader.read();
    return done ? null : value;
  } catch {
    return null;
  } finally {
    cancelDeadline();
  }
}
