// Puts an operation of the API's table on the server: its path, limits and metrics label, and what
// came in checked against its schemas before the handler sees it.

import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import * as z from 'zod';
import { idempotencyKeySchema } from '../api/names.ts';
import type { Operation, OutputOf } from '../api/operation.ts';
import { invalidRequest, validate } from '../api/validation.ts';
import { useOctetBodies } from '../http/octet-body.ts';
import { pathOf } from '../http/request-context.ts';
import { routeLabels } from '../observability/metrics.ts';
import type { Gear } from './gateway-parts.ts';

type Schema = z.ZodType | undefined;

export type Call<P extends Schema, Q extends Schema, B extends Schema> = {
  readonly params: OutputOf<P>;
  readonly query: OutputOf<Q>;
  readonly body: OutputOf<B>;
  readonly idempotencyKey: string | null;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
};

const nothing = z.strictObject({});
const noBody = nothing.optional();

export function registerOperation<P extends Schema, Q extends Schema, B extends Schema>(
  app: FastifyInstance,
  gear: Pick<Gear, 'limits'>,
  operation: Operation<P, Q, B>,
  handle: (call: Call<P, Q, B>) => Promise<unknown>,
): void {
  const route = routeLabels.find((label) => label === operation.route) ?? 'other';
  const options: RouteOptions = {
    method: operation.hasHead ? [operation.method, 'HEAD'] : operation.method,
    url: urlOf(operation),
    config: { route, isOpen: operation.isOpen },
    ...(operation.bodySize === 'large' ? { bodyLimit: gear.limits.promptBodyBytes } : {}),
    handler: async (request, reply) =>
      handle({
        params: validate(operation.params ?? nothing, paramsOf(operation, request), 'path') as OutputOf<P>,
        query: validate(operation.query ?? nothing, request.query, 'query') as OutputOf<Q>,
        body: validate(operation.body ?? noBody, request.body, 'body') as OutputOf<B>,
        idempotencyKey: operation.takesIdempotencyKey ? idempotencyKeyOf(request) : null,
        request,
        reply,
      }),
  };
  if (operation.octets === null) app.route(options);
  else {
    // An instance of its own: nowhere else are bodies taken that are not JSON.
    void app.register(async (inner) => {
      useOctetBodies(inner);
      inner.route(options);
    });
  }
}

function urlOf({ path, hasRestPath }: Operation): string {
  const url = path.replaceAll(/\{(\w+)\}/g, ':$1');
  return hasRestPath ? `${url.slice(0, url.lastIndexOf('/'))}/*` : url;
}

/** The rest of a path is decoded here, once, from what was sent: routers differ in what they make of %25 and %2F. */
function paramsOf({ path, hasRestPath }: Operation, request: FastifyRequest): unknown {
  if (!hasRestPath) return request.params;
  const { '*': _rest, ...params } = request.params as Record<string, string>;
  const name = path.slice(path.lastIndexOf('{') + 1, -1);
  const slashes = path.split('/').length - 1;
  const rest = pathOf(request.raw.url ?? '')
    .split('/')
    .slice(slashes)
    .join('/');
  try {
    return { ...params, [name]: decodeURIComponent(rest) };
  } catch {
    throw invalidRequest([{ field: name, message: 'is badly escaped' }], 'path');
  }
}

function idempotencyKeyOf(request: FastifyRequest): string | null {
  const given = request.headers['idempotency-key'];
  if (given === undefined) return null;
  const key = idempotencyKeySchema.safeParse(given);
  if (key.success) return key.data;
  throw invalidRequest([{ field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }], 'header');
}
