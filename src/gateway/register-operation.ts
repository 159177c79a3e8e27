// Puts an operation of the API's table on the server: its path, limits and metrics label, and what
// came in checked against its schemas before the handler sees it.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import * as z from 'zod';
import { idempotencyKeySchema } from '../api/names.ts';
import type { Operation, OutputOf } from '../api/operation.ts';
import { invalidRequest, validate } from '../api/validation.ts';
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
  app.route({
    method: operation.method,
    url: operation.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { route, isOpen: operation.isOpen },
    ...(operation.bodySize === 'large' ? { bodyLimit: gear.limits.promptBodyBytes } : {}),
    handler: async (request, reply) =>
      handle({
        params: validate(operation.params ?? nothing, request.params, 'path') as OutputOf<P>,
        query: validate(operation.query ?? nothing, request.query, 'query') as OutputOf<Q>,
        body: validate(operation.body ?? noBody, request.body, 'body') as OutputOf<B>,
        idempotencyKey: operation.takesIdempotencyKey ? idempotencyKeyOf(request) : null,
        request,
        reply,
      }),
  });
}

function idempotencyKeyOf(request: FastifyRequest): string | null {
  const given = request.headers['idempotency-key'];
  if (given === undefined) return null;
  const key = idempotencyKeySchema.safeParse(given);
  if (key.success) return key.data;
  throw invalidRequest([{ field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }], 'header');
}
