// Finds a Responses call's usage in the last bytes of its answer, without parsing the stream: the
// usage stands near the end of the last event. Keeps at most about 64 KiB and costs nothing per chunk.

import type { Usage } from '../core/usage.ts';

const tailBytes = 64 * 1024;
const marker = '"usage":';

export class UsageTail {
  #chunks: Uint8Array[] = [];
  #bytes = 0;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    let first = this.#chunks[0];
    while (first !== undefined && this.#bytes - first.length >= tailBytes) {
      this.#bytes -= first.length;
      this.#chunks.shift();
      first = this.#chunks[0];
    }
  }

  /** null when the answer held none: it was cut off, or the provider does not count. */
  read(): Usage | null {
    const tail = Buffer.concat(this.#chunks).subarray(-tailBytes).toString('utf8');
    this.#chunks = [];
    for (let at = tail.lastIndexOf(marker); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(marker, at - 1)) {
      // Inside a JSON string, so in a text of the model, the quotes would be escaped.
      if (tail[at - 1] === '\\') continue;
      const usage = parseUsage(tail.slice(at + marker.length));
      if (usage !== null) return usage;
    }
    return null;
  }
}

function parseUsage(text: string): Usage | null {
  const end = objectEnd(text);
  if (end < 0) return null;
  let usage: WireUsage;
  try {
    usage = JSON.parse(text.slice(0, end)) as WireUsage;
  } catch {
    return null;
  }
  if (typeof usage.input_tokens !== 'number' || typeof usage.output_tokens !== 'number') return null;
  return {
    inputTokens: count(usage.input_tokens),
    cachedInputTokens: count(usage.input_tokens_details?.cached_tokens),
    outputTokens: count(usage.output_tokens),
    reasoningOutputTokens: count(usage.output_tokens_details?.reasoning_tokens),
    costUsd: null,
  };
}

type WireUsage = {
  readonly input_tokens?: unknown;
  readonly input_tokens_details?: { readonly cached_tokens?: unknown } | null;
  readonly output_tokens?: unknown;
  readonly output_tokens_details?: { readonly reasoning_tokens?: unknown } | null;
};

/** The usage holds numbers and objects of numbers: no string in it can contain a brace. */
function objectEnd(text: string): number {
  let depth = 0;
  for (let at = 0; at < Math.min(text.length, 4096); at += 1) {
    const char = text[at];
    if (char === '{') depth += 1;
    else if (char === '}') {
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && char !== ' ') return -1;
  }
  return -1;
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.round(value) : 0;
}
