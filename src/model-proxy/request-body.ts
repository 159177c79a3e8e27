// Reads the body of a Responses call, bounded in size and in what all calls together hold, and looks
// into it far enough to know that it may be forwarded. What is forwarded are the bytes as they came.

import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import { CallCut } from './deadlines.ts';
import { ModelRefusal } from './refusal.ts';

export type BodyLimits = {
  readonly maxBytes: number;
  /** Held by all calls of the process at once. */
  readonly maxBufferedBytes: number;
};

export const defaultBodyLimits: BodyLimits = { maxBytes: 64 * 1024 * 1024, maxBufferedBytes: 512 * 1024 * 1024 };

export type InspectedBody = { readonly bytes: Buffer; readonly parsed: object };

const decoders: Readonly<Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>> = {
  zstd: promisify(zstdDecompress),
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/** These reach what the provider keeps for the whole organisation; Codex sends none of them over HTTP. */
const forbiddenFields = ['previous_response_id', 'conversation', 'prompt', 'background'] as const;

/** Counts the bytes that calls hold while they wait for the provider's headers. */
export class BodyBudget {
  readonly #limits: BodyLimits;
  #heldBytes = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** `release` must be called when the bytes are no longer needed; twice is harmless. */
  async read(request: IncomingMessage): Promise<{ bytes: Buffer; release: () => void }> {
    const { maxBytes, maxBufferedBytes } = this.#limits;
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
    let heldBytes = 0;
    const release = (): void => {
      this.#heldBytes -= heldBytes;
      heldBytes = 0;
    };
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        heldBytes += chunk.length;
        this.#heldBytes += chunk.length;
        if (heldBytes > maxBytes) throw tooLarge(maxBytes);
        if (this.#heldBytes > maxBufferedBytes) throw new ModelRefusal('overloaded');
        chunks.push(chunk);
      }
    } catch (error) {
      release();
      // The connection went, or the body came too slowly and the server ended it.
      throw error instanceof ModelRefusal ? error : new CallCut('client_gone');
    }
    return { bytes: Buffer.concat(chunks), release };
  }

  get maxBytes(): number {
    return this.#limits.maxBytes;
  }
}

/** An empty list of models allows every one. */
export async function inspectBody(
  bytes: Buffer,
  encoding: string | undefined,
  models: readonly string[],
  maxBytes: number,
): Promise<InspectedBody> {
  const parsed = parseObject(await decode(bytes, encoding, maxBytes));
  const { model } = parsed;
  if (typeof model !== 'string') throw new ModelRefusal('invalid_json');
  if (models.length > 0 && !models.includes(model)) throw new ModelRefusal('model_not_allowed');
  for (const field of forbiddenFields) {
    const value = parsed[field];
    if (value !== undefined && value !== null && value !== false) {
      throw new ModelRefusal('field_not_allowed', `(${field})`);
    }
  }
  return { bytes, parsed };
}

async function decode(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  if (name === 'identity' || name === '') return bytes;
  const decoder = Object.hasOwn(decoders, name) ? decoders[name] : undefined;
  if (decoder === undefined) throw new ModelRefusal('unsupported_encoding');
  try {
    return await decoder(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw isTooLarge ? tooLarge(maxBytes) : new ModelRefusal('unsupported_encoding', `(not valid ${name})`);
  }
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new ModelRefusal('invalid_json');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ModelRefusal('invalid_json');
  return value as Readonly<Record<string, unknown>>;
}

function tooLarge(maxBytes: number): ModelRefusal {
  return new ModelRefusal('body_too_large', `(at most ${maxBytes} bytes)`);
}
