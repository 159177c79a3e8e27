// A real provider over HTTP: sends the bytes with the real key and hands the answer on as it comes.
// The only place that knows undici and the only one that adds the key. Waits are bounded by the caller.

import { errors, Pool } from 'undici';
import { requestHeadersFor } from './headers.ts';
import { UpstreamUnreachable } from './upstream.ts';
import type { Upstream, UpstreamRequest, UpstreamResponse } from './upstream.ts';

export type HttpUpstreamOptions = {
  /** Such as https://api.openai.com/v1; a query in it goes with every call. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
  readonly connectTimeoutMs: number;
};

const maxConnections = 512;
const maxModelListBytes = 4 * 1024 * 1024;

export class HttpUpstream implements Upstream {
  readonly #pool: Pool;
  readonly #base: URL;
  readonly #apiKey: string | null;

  constructor(options: HttpUpstreamOptions) {
    this.#base = new URL(options.baseUrl);
    this.#apiKey = options.apiKey;
    this.#pool = new Pool(this.#base.origin, {
      connections: maxConnections,
      allowH2: false,
      connect: { timeout: options.connectTimeoutMs },
      // The forwarder's own deadlines cover both, and count the sending of the request too.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  async send(request: UpstreamRequest): Promise<UpstreamResponse> {
    try {
      const response = await this.#pool.request({
        method: 'POST',
        path: this.#path('responses'),
        headers: requestHeadersFor(request.headers, this.#apiKey),
        body: request.body,
        signal: request.signal,
      });
      return { status: response.statusCode, headers: singleHeaders(response.headers), body: response.body };
    } catch (error) {
      if (request.signal.aborted) throw abortReason(request.signal);
      throw new UpstreamUnreachable(reasonOf(error));
    }
  }

  async listModels(signal: AbortSignal): Promise<readonly string[] | null> {
    const headers = requestHeadersFor({ accept: 'application/json' }, this.#apiKey);
    const response = await this.#pool.request({ method: 'GET', path: this.#path('models'), headers, signal });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxModelListBytes) return null;
      chunks.push(chunk);
    }
    return response.statusCode === 200 ? modelIds(Buffer.concat(chunks).toString('utf8')) : null;
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #path(name: 'responses' | 'models'): string {
    return `${this.#base.pathname.replace(/\/+$/, '')}/${name}${this.#base.search}`;
  }
}

/** Without what may be a credential. */
export function displayUrl(baseUrl: string): string {
  const url = new URL(baseUrl);
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function singleHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const single: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) single[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return single;
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.UndiciError) return error.code;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === 'string' ? code : 'connection failed';
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

function modelIds(text: string): string[] | null {
  try {
    const { data } = JSON.parse(text) as { readonly data?: unknown };
    if (!Array.isArray(data)) return null;
    return data.map((entry: { id?: unknown } | null) => entry?.id).filter((id) => typeof id === 'string');
  } catch {
    return null;
  }
}
