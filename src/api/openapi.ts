// The OpenAPI 3.1 document of the public API, made from the table of operations, the schemas and the
// register of errors. Pure: who serves it, keeps it or checks it is not decided here.

import type * as z from 'zod';
import type { ErrorCode } from '../core/errors.ts';
import { ComponentSchemas, type JsonObject } from './component-schemas.ts';
import { eventSchema, knownEventSchemas } from './events.ts';
import { idempotencyKeySchema } from './names.ts';
import type { Answer, Operation } from './operation.ts';
import { operations } from './operations.ts';
import { headPaths, plainOperations, webSocketPath } from './plain-operations.ts';
import { ProblemResponses } from './problem-responses.ts';
import { problemSchema } from './problem.ts';
import { noticePayloads } from './webhook-payloads.ts';
import { acceptedFrameSchema, endedFrameSchema, frameSchemas, pongFrameSchema } from './ws-frames.ts';

const description = `Runs OpenAI's Codex agent as a service: sessions with a workspace of their own, turns that run prompts in them, and events that can be followed and resumed.

Every answer carries \`X-Request-Id\`; one that you send is kept. Errors are RFC 9457 problem details with a stable \`code\`. The HTTP status speaks of the request, never of the turn: once a turn exists, the body says how it ended.`;

export function openApiDocument(version: string): JsonObject {
  const schemas = new ComponentSchemas();
  const eventRef = addEvents(schemas);
  const problems = new ProblemResponses(schemas.use(problemSchema));
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const operation of [...Object.values(operations), ...Object.values(plainOperations)] as readonly Operation[]) {
    const item = (paths[operation.path] ??= {});
    item[operation.method.toLowerCase()] = describeOperation(operation, schemas, eventRef, problems);
    if (headPaths.includes(operation.path)) item['head'] = headOf(operation);
    if (operation.hasHead) item['head'] = { ...item['get'], operationId: `${operation.id}Head` };
  }
  paths[webSocketPath] = { get: describeWebSocket(schemas, eventRef, problems) };
  return {
    openapi: '3.1.0',
    info: { title: 'Codex Fleet', version, description, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    tags: [...new Set(Object.values(operations).map(({ route }) => route))].map((name) => ({ name })),
    paths,
    webhooks: describeWebhooks(schemas),
    components: {
      schemas: schemas.all(),
      responses: problems.all(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The token that the first start printed.' },
      },
    },
  };
}

/** `turn.timed_out` → `TurnTimedOutEvent`. */
export function eventSchemaName(type: string): string {
  const words = type.split(/[._]/).map((word) => word.slice(0, 1).toUpperCase() + word.slice(1));
  return `${words.join('')}Event`;
}

function addEvents(schemas: ComponentSchemas): JsonObject {
  const unknown = schemas.use(eventSchema);
  const known = knownEventSchemas.map((schema) =>
    schemas.add(eventSchemaName(schema.shape.type.value), schemas.use(schema)),
  );
  return schemas.add('StreamEvent', {
    description: 'An event of a known type, or of one that a later version brought: ignore what you do not know.',
    anyOf: [...known, unknown],
  });
}

function describeWebhooks(schemas: ComponentSchemas): JsonObject {
  const item = (type: string, schema: z.ZodType): JsonObject => ({
    post: {
      summary: `Told of \`${type}\`, signed as Standard Webhooks has it.`,
      parameters: signatureHeaders,
      requestBody: { required: true, content: { 'application/json': { schema: schemas.use(schema) } } },
      responses: { '2XX': { description: 'It has arrived. Anything else is tried again, for a day.' } },
      security: [],
    },
  });
  return Object.fromEntries(noticePayloads.map(({ schema, type }) => [type, item(type, schema)]));
}

const signatureHeaders = [
  { name: 'webhook-id', description: 'The same in every attempt.' },
  { name: 'webhook-timestamp', description: 'Of this attempt, in seconds.' },
  {
    name: 'webhook-signature',
    description: '`v1,` and a signature for each secret that is valid, with spaces between.',
  },
].map(({ description: words, name }) => ({
  name,
  in: 'header',
  required: true,
  description: words,
  schema: { type: 'string' },
}));

function describeOperation(
  operation: Operation,
  schemas: ComponentSchemas,
  eventRef: JsonObject,
  problems: ProblemResponses,
): JsonObject {
  const { body } = operation;
  const parameters = [
    ...parametersOf(operation.params, 'path', schemas),
    ...parametersOf(operation.query, 'query', schemas),
    ...(operation.takesIdempotencyKey ? [idempotencyHeader(schemas)] : []),
    ...(operation.id === 'readEvents' ? [lastEventIdHeader] : []),
    ...operation.headers.map(({ name, description: words }) => ({
      name,
      in: 'header',
      required: false,
      description: words,
      schema: { type: 'string' },
    })),
  ];
  return {
    operationId: operation.id,
    summary: operation.summary,
    tags: [operation.route],
    ...(operation.isOpen ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemas.use(body) } },
          },
        }),
    ...(operation.octets === null
      ? {}
      : { requestBody: { required: true, content: { 'application/octet-stream': { schema: {} } } } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.answers).map(([status, answer]) => [
          status,
          describeAnswers([answer].flat() as readonly Answer[], schemas, eventRef),
        ]),
      ),
      ...problems.use(errorsOf(operation)),
    },
  };
}

function headOf(operation: Operation): JsonObject {
  return {
    operationId: `${operation.id}Head`,
    summary: operation.summary,
    tags: [operation.route],
    security: [],
    responses: { 200: { description: 'As GET, without the body.' } },
  };
}

function parametersOf(schema: z.ZodType | undefined, place: 'path' | 'query', schemas: ComponentSchemas): JsonObject[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemas.use(schema) as {
    properties?: Record<string, JsonObject>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    const { description: words, ...rest } = property;
    const isRequired = place === 'path' || required.includes(name);
    return {
      name,
      in: place,
      required: isRequired,
      ...(words === undefined ? {} : { description: words }),
      schema: rest,
    };
  });
}

function idempotencyHeader(schemas: ComponentSchemas): JsonObject {
  return {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'The same key and body again are the same turn, or the same job, for 24 hours; another body is refused.',
    schema: schemas.use(idempotencyKeySchema),
  };
}

const lastEventIdHeader: JsonObject = {
  name: 'Last-Event-ID',
  in: 'header',
  required: false,
  description: 'The `cursor` of the last event that was seen, as browsers send it when they come back.',
  schema: { type: 'string', maxLength: 64 },
};

function describeAnswers(answers: readonly Answer[], schemas: ComponentSchemas, eventRef: JsonObject): JsonObject {
  const content = answers.flatMap(({ schema, contentType = 'application/json' }) => {
    if (schema === undefined) return [];
    // Of a stream, the schema is that of each event's `data`.
    return [[contentType, { schema: contentType === 'text/event-stream' ? eventRef : schemas.use(schema) }] as const];
  });
  return {
    description: answers.map((answer) => answer.description).join(' '),
    ...(content.length === 0 ? {} : { content: Object.fromEntries(content) }),
  };
}

function errorsOf(operation: Operation): ErrorCode[] {
  return [
    'invalid_request',
    ...(operation.isOpen ? [] : (['unauthenticated', 'forbidden'] as const)),
    ...(operation.body === undefined
      ? []
      : (['invalid_json', 'payload_too_large', 'unsupported_media_type', 'request_timeout'] as const)),
    ...(operation.octets === null ? [] : (['payload_too_large', 'unsupported_media_type', 'request_timeout'] as const)),
    'headers_too_large',
    'too_many_connections',
    'internal',
    ...operation.errors,
  ];
}

function describeWebSocket(schemas: ComponentSchemas, eventRef: JsonObject, problems: ProblemResponses): JsonObject {
  const client = Object.values(frameSchemas).map((schema) => schemas.use(schema));
  const server = [acceptedFrameSchema, endedFrameSchema, pongFrameSchema].map((schema) => schemas.use(schema));
  return {
    operationId: 'webSocket',
    summary: 'Prompts in and events out over one WebSocket.',
    description:
      'Text frames, one JSON object each. Browsers, which can send no Authorization header, offer the subprotocols ' +
      '`codex-fleet` and `ticket.<ticket>` (of POST /api/v1/tickets) or `bearer.<token>`. Events carry the `ref` of ' +
      'the frame that asked for them; an error comes as a frame of type `error` with the fields of a problem.',
    tags: ['exec'],
    responses: {
      101: { description: 'The connection is a WebSocket now.' },
      ...problems.use(['unauthenticated', 'forbidden', 'draining', 'too_many_connections']),
    },
    'x-websocket': { client: { anyOf: client }, server: { anyOf: [...server, eventRef] } },
  };
}
