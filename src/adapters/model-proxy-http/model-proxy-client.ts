// The worker's link to the model proxy: its control face over HTTP, on a unix socket or a port. Every
// call has a deadline; a proxy that cannot be reached is `model_unavailable`, whatever the reason.

import { Pool } from 'undici';
import type {
  Grant,
  GrantId,
  GrantRequest,
  ModelProviderStatus,
  ModelProxyLink,
} from '../../contracts/model-grants.ts';
import type { Clock } from '../../core/clock.ts';
import { errorRegister, isServiceError, ServiceError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { TurnId } from '../../core/ids.ts';

export type ModelProxyClientOptions = {
  /** The proxy's control face. */
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly credential: string;
  readonly clock: Clock;
  readonly deadlineMs?: number;
};

const defaultDeadlineMs = 2000;
const maxConnections = 16;
const maxReplyBytes = 1024 * 1024;

type Method = 'GET' | 'POST' | 'DELETE';
type Fields = Readonly<Record<string, unknown>>;

export class ModelProxyClient implements ModelProxyLink {
  readonly #pool: Pool;
  readonly #credential: string;
  readonly #clock: Clock;
  readonly #deadlineMs: number;

  constructor({ address, credential, clock, deadlineMs = defaultDeadlineMs }: ModelProxyClientOptions) {
    this.#credential = credential;
    this.#clock = clock;
    this.#deadlineMs = deadlineMs;
    const settings = { connections: maxConnections, allowH2: false };
    this.#pool =
      'path' in address
        ? new Pool('http://model-proxy', { ...settings, socketPath: address.path })
        : new Pool(originOf(address), settings);
  }

  async issue({ tenant, sessionId, epoch, models }: GrantRequest): Promise<Grant> {
    const reply = await this.#call('POST', '/grants', { tenant, session_id: sessionId, epoch, models });
    const { id, credential } = reply;
    if (typeof id !== 'string' || typeof credential !== 'string') throw badReply();
    return { id, credential };
  }

  async beginTurn(id: GrantId, turnId: TurnId): Promise<void> {
    await this.#call('POST', turnPath(id, turnId));
  }

  async endTurn(id: GrantId, turnId: TurnId): Promise<void> {
    await this.#call('DELETE', turnPath(id, turnId));
  }

  async revoke(id: GrantId): Promise<void> {
    await this.#call('DELETE', `/grants/${encodeURIComponent(id)}`);
  }

  async status(): Promise<ModelProviderStatus> {
    const { provider, base_url: baseUrl, models } = await this.#call('GET', '/status');
    if (!isProvider(provider) || !(typeof baseUrl === 'string' || baseUrl === null) || !Array.isArray(models)) {
      throw badReply();
    }
    return {
      provider,
      baseUrl,
      models: models.map((model: Fields) => ({ id: String(model['id']), isDefault: model['is_default'] === true })),
    };
  }

  /** Calls under way are ended. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  /** The proxy's own metrics, in Prometheus' text format. */
  async metricsText(): Promise<string> {
    const { status, text } = await this.#exchange('GET', '/metrics');
    if (status !== 200) throw badReply();
    return text;
  }

  async #call(method: Method, path: string, body?: Fields): Promise<Fields> {
    const { status, text } = await this.#exchange(method, path, body);
    const reply = parseReply(text);
    if (status >= 400) throw refusalOf(reply, status);
    return reply;
  }

  async #exchange(method: Method, path: string, body?: Fields): Promise<{ status: number; text: string }> {
    const abort = new AbortController();
    const cancelDeadline = this.#clock.after(this.#deadlineMs, () => abort.abort(new Error('deadline')));
    try {
      const response = await this.#pool.request({
        method,
        path,
        signal: abort.signal,
        headers: {
          authorization: `Bearer ${this.#credential}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.statusCode, text: await readText(response.body) };
    } catch (error) {
      if (isServiceError(error)) throw error;
      const reason = abort.signal.aborted ? 'proxy_timed_out' : 'proxy_unreachable';
      throw new ServiceError('model_unavailable', { reason }, { cause: error });
    } finally {
      cancelDeadline();
    }
  }
}

function originOf({ host, port }: { readonly host: string; readonly port: number }): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function turnPath(id: GrantId, turnId: TurnId): string {
  return `/grants/${encodeURIComponent(id)}/turns/${encodeURIComponent(turnId)}`;
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxReplyBytes) throw badReply();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseReply(text: string): Fields {
  let reply: unknown;
  try {
    reply = JSON.parse(text);
  } catch (error) {
    throw badReply(error);
  }
  if (typeof reply !== 'object' || reply === null) throw badReply();
  return reply as Fields;
}

/** The proxy's own code where it gave one. A refused credential is our misconfiguration, not the caller's. */
function refusalOf(problem: Fields, status: number): ServiceError {
  const { code, epoch, limit, errors } = problem;
  if (typeof code !== 'string' || !Object.hasOwn(errorRegister, code) || code === 'unauthenticated') {
    return new ServiceError('model_unavailable', { reason: 'proxy_refused', status });
  }
  const facts = Object.entries({ epoch, limit, errors }).filter(([, value]) => value !== undefined);
  return new ServiceError(code as ErrorCode, Object.fromEntries(facts));
}

function badReply(cause?: unknown): ServiceError {
  return new ServiceError('model_unavailable', { reason: 'proxy_answered_badly' }, { cause });
}

function isProvider(value: unknown): value is ModelProviderStatus['provider'] {
  return value === 'openai' || value === 'responses' || value === 'ollama' || value === 'demo';
}
