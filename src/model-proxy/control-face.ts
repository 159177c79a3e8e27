// The routes that the worker reaches: grants and their turns, status, probes and metrics. JSON, small,
// behind a credential of its own that no session ever sees.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { GrantRequest, ModelProviderStatus } from '../contracts/model-grants.ts';
import { ServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { bearerTokenOf } from '../http/bearer.ts';
import { type ErrorAnswer, errorAnswer, logError } from '../http/error-reply.ts';
import type { ScrapeCredential } from '../http/scrape-credential.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { SharedGrants } from './shared-grants.ts';

export type ControlFaceParts = {
  readonly grants: SharedGrants;
  readonly credential: string;
  /** Reads /metrics and nothing else. */
  readonly scrape?: ScrapeCredential | undefined;
  readonly status: () => ModelProviderStatus;
  readonly isReady: () => boolean;
  readonly metrics: Pick<Metrics, 'render'>;
  readonly logger: Logger;
};

/** An answer of ours has the form of a refusal. */
type Reply = ErrorAnswer;
type Route = {
  readonly method: string;
  readonly path: RegExp;
  /** Probes answer without a credential: they say nothing but yes or no. */
  readonly isOpen?: true;
  /** The credential for numbers will do. */
  readonly isScrape?: true;
  readonly answer: (
    params: readonly string[],
    request: IncomingMessage,
    query: URLSearchParams,
  ) => Reply | Promise<Reply>;
};

const maxBodyBytes = 64 * 1024;
const idSegment = '([A-Za-z0-9._-]{1,128})';

const revision = z.int().min(0);
const grantSchema = z.strictObject({
  tenant: z.string().min(1).max(256),
  session_id: z.string().min(1).max(128),
  epoch: z.int().min(1),
  models: z.array(z.string().min(1).max(256)).max(100),
});
const heldGrantSchema = z.strictObject({
  ...grantSchema.shape,
  credential_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  turn_id: z.string().min(1).max(128).nullable(),
  traceparent: z.string().max(256).optional(),
  revision,
});
const wantedSchema = z.strictObject({
  grants: z.array(z.strictObject({ id: z.string().min(1).max(128), revision })).max(1000),
});

export function createControlFace(
  parts: ControlFaceParts,
): (request: IncomingMessage, response: ServerResponse) => void {
  const expected = hashOf(parts.credential);
  const isTrusted = (request: IncomingMessage): boolean => {
    const credential = bearerTokenOf(request.headers.authorization);
    return credential !== null && timingSafeEqual(hashOf(credential), expected);
  };
  const isScraper = (request: IncomingMessage): boolean => parts.scrape?.admits(request.headers.authorization) === true;
  const routes = controlRoutes(parts, isTrusted);
  return (request, response) => {
    answer(routes, { isTrusted, isScraper }, request)
      .catch((error: unknown) => failureReply(error, request, parts.logger))
      .then((reply) => write(response, reply))
      .catch(() => response.destroy());
  };
}

type IsTrusted = (request: IncomingMessage) => boolean;

function controlRoutes({ grants, status, isReady, metrics }: ControlFaceParts, isTrusted: IsTrusted): readonly Route[] {
  const turnPath = new RegExp(`^/grants/${idSegment}/turns/${idSegment}$`);
  const grantPath = new RegExp(`^/grants/${idSegment}$`);
  return [
    {
      method: 'POST',
      path: /^\/grants$/,
      answer: async (_params, request) => {
        const body = parse(grantSchema, await readBody(request));
        return json(201, await grants.issue(requestOf(body)));
      },
    },
    {
      method: 'POST',
      path: /^\/grants\/check$/,
      answer: async (_params, request) => {
        const { grants: wanted } = parse(wantedSchema, await readBody(request));
        return json(200, { missing: await grants.missing(wanted) });
      },
    },
    {
      method: 'PUT',
      path: grantPath,
      answer: async ([id = ''], request) => {
        const body = parse(heldGrantSchema, await readBody(request));
        const { credential_sha256: credentialSha256, revision: newest, traceparent, turn_id: turn } = body;
        const traced = traceparent === undefined ? {} : { traceparent };
        await grants.restore({ id, request: requestOf(body), credentialSha256, turn, ...traced, revision: newest });
        return json(200, {});
      },
    },
    {
      method: 'POST',
      path: turnPath,
      answer: async ([grant = '', turn = ''], _request, query) => {
        await grants.beginTurn(grant, turn, revisionIn(query), query.get('traceparent'));
        return json(200, {});
      },
    },
    {
      method: 'DELETE',
      path: turnPath,
      answer: async ([grant = '', turn = ''], _request, query) => {
        const { calls, usage } = await grants.endTurn(grant, turn, revisionIn(query));
        return json(200, {
          calls,
          usage: {
            input_tokens: usage.inputTokens,
            cached_input_tokens: usage.cachedInputTokens,
            output_tokens: usage.outputTokens,
            reasoning_output_tokens: usage.reasoningOutputTokens,
          },
        });
      },
    },
    {
      method: 'DELETE',
      path: grantPath,
      answer: async ([grant = '']) => {
        await grants.revoke(grant);
        return json(200, {});
      },
    },
    {
      method: 'GET',
      path: /^\/status$/,
      answer: () => {
        const { provider, baseUrl, models } = status();
        const offered = models.map(({ id, isDefault }) => ({ id, is_default: isDefault }));
        return json(200, { provider, base_url: baseUrl, models: offered, grants: grants.size });
      },
    },
    { method: 'GET', path: /^\/livez$/, isOpen: true, answer: () => json(200, { status: 'ok' }) },
    {
      method: 'GET',
      path: /^\/readyz$/,
      isOpen: true,
      answer: () => (isReady() ? json(200, { status: 'ok' }) : json(503, { status: 'stopping' })),
    },
    {
      method: 'GET',
      path: /^\/health$/,
      isOpen: true,
      answer: (_params, request) => {
        const word = isReady() ? 'ok' : 'stopping';
        // Probes carry no credential: they hear whether, not what.
        if (!isTrusted(request)) return json(200, { status: word });
        const store = grants.isStoreAway ? 'away' : 'ok';
        const { provider } = status();
        const facts = { provider, grants: grants.size, open_calls: grants.openCallCount, grant_store: store };
        return json(200, { status: word, ...facts });
      },
    },
    {
      method: 'GET',
      path: /^\/metrics$/,
      isScrape: true,
      answer: async () => {
        const { contentType, body } = await metrics.render();
        return { status: 200, headers: { 'content-type': contentType }, body };
      },
    },
  ];
}

async function answer(
  routes: readonly Route[],
  { isScraper, isTrusted }: { readonly isScraper: IsTrusted; readonly isTrusted: IsTrusted },
  request: IncomingMessage,
): Promise<Reply> {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const here = routes.filter((route) => route.path.test(path));
  const route = here.find(({ method }) => method === request.method);
  const isAdmitted = route?.isOpen === true || (route?.isScrape === true && isScraper(request)) || isTrusted(request);
  if (!isAdmitted) throw new ServiceError('unauthenticated');
  if (route === undefined) {
    if (here.length === 0) throw new ServiceError('not_found');
    throw new ServiceError('method_not_allowed', { allow: here.map(({ method }) => method) });
  }
  return await route.answer(route.path.exec(path)?.slice(1) ?? [], request, new URLSearchParams(query));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new ServiceError('payload_too_large', { limit_bytes: maxBodyBytes });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse<T>(schema: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ServiceError('invalid_json', {}, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
  throw new ServiceError('invalid_request', { errors });
}

function requestOf({ tenant, session_id: sessionId, epoch, models }: z.infer<typeof grantSchema>): GrantRequest {
  return { tenant, sessionId, epoch, models };
}

/** The number of the worker's change; a caller that does not count gets the next one. */
function revisionIn(query: URLSearchParams): number | undefined {
  const text = query.get('revision');
  if (text === null) return undefined;
  const parsed = revision.safeParse(text === '' ? Number.NaN : Number(text));
  if (parsed.success) return parsed.data;
  throw new ServiceError('invalid_request', { errors: [{ field: 'revision', message: 'must be a whole number' }] });
}

function failureReply(error: unknown, request: IncomingMessage, logger: Logger): Reply {
  const context = { requestId: mintId(), instance: request.url ?? null };
  logError(logger, error, context);
  return errorAnswer(error, context);
}

function write(response: ServerResponse, { status, headers, body }: Reply): void {
  const sized = { ...headers, 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, response.req.complete ? sized : { ...sized, connection: 'close' });
  response.end(body);
}

function json(status: number, value: unknown): Reply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

function hashOf(credential: string): Buffer {
  return createHash('sha256').update(credential).digest();
}
