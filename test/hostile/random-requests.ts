// Requests at random for every operation of the table: most of them nearly right, made from the
// operation's own schemas and then bent somewhere. Nothing here is a request that could do harm if taken.

import fc from 'fast-check';
import * as z from 'zod';
import type { Operation } from '../../src/api/operation.ts';
import { operations } from '../../src/api/operations.ts';
import { plainOperations } from '../../src/api/plain-operations.ts';
import { requestBytes } from './raw-client.ts';

export type RandomRequest = {
  readonly operation: string;
  readonly line: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly hasCredential: boolean;
};

type JsonSchema = { readonly [key: string]: unknown };

export type Known = {
  readonly sessions: readonly string[];
  /** Those that may be erased. */
  readonly expendable: readonly string[];
  readonly turns: readonly string[];
  readonly items: readonly string[];
  readonly jobs: readonly string[];
  readonly schedules: readonly string[];
  readonly webhooks: readonly string[];
  readonly deliveries: readonly string[];
};

const nastyTexts = [
  '',
  '\0',
  '\u001b[31m',
  '\u202eabc',
  '\ufeff',
  '\ud800',
  'a\r\nset-cookie: x=1',
  '../../etc/passwd',
  '..%2f',
  '%00',
  '__proto__',
  'constructor',
  'toString',
  'ⅷ',
  '😀'.repeat(100),
  'a'.repeat(129),
  'a'.repeat(5000),
  "' OR 1=1 --",
  '${jndi:ldap://x}',
  '{{7*7}}',
  '1.1',
  '0.0',
  '999999999999999.999999999999999',
  '-1',
  'null',
  '00000000-0000-7000-8000-000000000000',
  '00000000-0000-8000-8000-000000000000',
] as const;

const nasty = fc.oneof(
  fc.constantFrom<unknown[]>(
    ...nastyTexts,
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    Number.MAX_SAFE_INTEGER + 2,
    [],
    {},
    [[]],
    [null],
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.double(),
  fc.jsonValue({ maxDepth: 3 }),
);

/** What would otherwise ask for work that takes long. */
function harmless(name: string, known: Known): fc.Arbitrary<unknown> | null {
  switch (name) {
    case 'prompt':
      return fc.constantFrom('say: ok', 'run: echo x', 'write: a: b', 'fail: 500', 'hello');
    case 'command':
      return fc.constantFrom<unknown>('true', 'echo x', ['true'], ['echo', '\u202e'], ['no-such-command'], 'exit 3');
    case 'session_id':
    case 'id':
      return fc.constantFrom(...known.sessions);
    case 'turn_id':
      return fc.constantFrom(...known.turns);
    case 'item_id':
      return fc.constantFrom(...known.items);
    case 'job_id':
      return fc.constantFrom(...known.jobs);
    case 'schedule_id':
      return fc.constantFrom(...known.schedules);
    case 'webhook_id':
      return fc.constantFrom(...known.webhooks);
    case 'delivery_id':
      return fc.constantFrom(...known.deliveries);
    case 'job':
      return fc.constant({ prompt: 'say: ok' });
    case 'cron':
      return fc.constantFrom('0 3 * * *', '30 2 1 * 1-5', '61 * * * *', '@daily');
    case 'time_zone':
      return fc.constantFrom('UTC', 'Europe/Lisbon', '+01:00');
    case 'url':
      return fc.constantFrom('https://hooks.invalid/x', 'http://127.0.0.1/', 'https://10.0.0.1/');
    case 'events':
      return fc.constantFrom(['turn.failed'], null);
    case 'run_at':
      return fc.constantFrom('2026-01-01T00:00:00Z', null, 'tomorrow');
    case 'webhook':
      return fc.constant(null);
    case 'model':
      return fc.constantFrom('demo', 'gpt-x', 'a/b:c');
    default:
      return null;
  }
}

function ofSchema(schema: JsonSchema, known: Known): fc.Arbitrary<unknown> {
  const options = (schema['anyOf'] ?? schema['oneOf']) as readonly JsonSchema[] | undefined;
  if (options !== undefined) return fc.oneof(...options.map((option) => ofSchema(option, known)));
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]));
  if ('const' in schema) return fc.constant(schema['const']);
  if (Array.isArray(schema['type']))
    return fc.oneof(...schema['type'].map((type) => ofSchema({ ...schema, type }, known)));
  switch (schema['type']) {
    case 'object':
      return ofObject(schema, known);
    case 'array':
      return fc.array(ofSchema((schema['items'] ?? {}) as JsonSchema, known), { maxLength: 4 });
    case 'integer':
    case 'number':
      return fc.integer({
        min: Number(schema['minimum'] ?? 0),
        max: Math.min(Number(schema['maximum'] ?? 1000), 5000),
      });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('a', 'asc', 'desc', '1.1', '2026-01-01'));
  }
}

function ofObject(schema: JsonSchema, known: Known): fc.Arbitrary<Record<string, unknown>> {
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>);
  const required = new Set((schema['required'] ?? []) as string[]);
  const fields = properties.map(([name, property]) =>
    fc.tuple(
      fc.constant(name),
      harmless(name, known) ?? ofSchema(property, known),
      required.has(name) ? fc.constant(true) : fc.boolean(),
    ),
  );
  return fc
    .tuple(...fields)
    .map((drawn) => Object.fromEntries(drawn.filter(([, , isThere]) => isThere).map(([name, value]) => [name, value])));
}

function jsonSchemaOf(schema: z.ZodType | undefined): JsonSchema {
  if (schema === undefined) return { type: 'object' };
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const name = /^#\/\$defs\/(.+)$/.exec(String(json['$ref']))?.[1];
  return name === undefined ? json : ((json['$defs'] as Record<string, JsonSchema>)[name] ?? json);
}

/** As it is, with a field bent, or with the text itself bent. */
function bentBody(schema: JsonSchema, known: Known): fc.Arbitrary<string> {
  const names = Object.keys((schema['properties'] ?? { a: {} }) as object);
  const fitting = ofObject(schema, known);
  const bentValue = fc
    .tuple(fitting, fc.constantFrom(...names, '__proto__', 'constructor', 'cwd', 'sandbox', ...nastyTexts), nasty)
    .map(([body, name, value]) => JSON.stringify({ ...body, [name]: value }));
  const bentText = fc
    .tuple(
      fitting,
      fc.nat(200),
      fc.constantFrom('', '\0', '"', '{', ']', ',', '\ufeff', '\\', '\\ud800', '1e309', '}{'),
      fc.nat(10),
    )
    .map(([body, at, text, cut]) => {
      const json = JSON.stringify(body);
      return json.slice(0, at) + text + json.slice(at + cut);
    });
  const twice = fitting.map((body) => {
    const json = JSON.stringify(body);
    return json.length > 2 ? `${json.slice(0, -1)},${json.slice(1)}` : json;
  });
  return fc.oneof(
    { weight: 3, arbitrary: fitting.map((body) => JSON.stringify(body)) },
    { weight: 4, arbitrary: bentValue },
    { weight: 2, arbitrary: bentText },
    { weight: 1, arbitrary: twice },
    { weight: 1, arbitrary: nasty.map((value) => JSON.stringify(value) ?? '') },
  );
}

function queryOf(schema: JsonSchema): fc.Arbitrary<string> {
  const names = Object.keys((schema['properties'] ?? {}) as object);
  const name = fc.constantFrom(...names, 'after', 'limit', 'unknown', 'a[]', '__proto__', 'key');
  const value = fc.oneof(
    fc.constantFrom('1', '100', 'asc', 'desc', '1.1', '0', '2026-01-01', '1e5'),
    fc.constantFrom(...nastyTexts),
    fc.string({ maxLength: 10 }),
  );
  const pair = fc
    .tuple(name, value, fc.boolean())
    .map(([left, right, isEscaped]) => `${left}=${isEscaped ? escaped(right) : inLine(right)}`);
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant('') },
    { weight: 1, arbitrary: fc.array(pair, { minLength: 1, maxLength: 4 }).map((pairs) => `?${pairs.join('&')}`) },
  );
}

function pathOf(path: string, known: Known): fc.Arbitrary<string> {
  const steps = path.split('/').map((step) => {
    const name = /^\{(\w+)\}$/.exec(step)?.[1];
    if (name === undefined) return fc.constant(step);
    return fc.oneof(
      { weight: 4, arbitrary: (harmless(name, known) ?? fc.constant('x')).map((value) => escaped(String(value))) },
      { weight: 1, arbitrary: fc.constantFrom(...nastyTexts).map(escaped) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }).map(inLine) },
    );
  });
  return fc.tuple(...steps).map((drawn) => drawn.join('/'));
}

const headerLine = fc.oneof(
  fc.constantFrom(
    'accept: application/json',
    'accept: text/event-stream',
    'accept: */*',
    'range: bytes=0-1',
    'expect: 100-continue',
    'expect: x',
  ),
  fc.constantFrom(
    'origin: https://evil.example',
    'origin: null',
    'content-encoding: gzip',
    'content-encoding: identity',
    'x-request-id: {"a":1}',
  ),
  fc.constantFrom(
    'traceparent: 00-00000000000000000000000000000000-0000000000000000-00',
    'x-forwarded-for: 1.1.1.1',
    'x-http-method-override: DELETE',
  ),
  fc.constantFrom(...nastyTexts).map((text) => `last-event-id: ${inLine(text)}`),
  fc.constantFrom('k', 'k2', '"', 'a b', 'k'.repeat(300)).map((key) => `idempotency-key: ${key}`),
);
const contentType = fc.oneof(
  { weight: 8, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/json; charset=utf-16',
      'application/x-www-form-urlencoded',
      '',
      'x/y;;;',
    ),
  },
);
/** Without DELETE: it would take away what the others ask for. */
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'LINK', 'QUERY'] as const;

export function randomRequest(known: Known): fc.Arbitrary<RandomRequest> {
  const all: readonly Operation[] = Object.values({ ...operations, ...plainOperations });
  return fc.oneof(...all.map((operation) => requestFor(operation, known)));
}

/** The last of each may be removed; the others are asked for. */
function onlyLast({ jobs, schedules, webhooks }: Known): Pick<Known, 'jobs' | 'schedules' | 'webhooks'> {
  return { jobs: jobs.slice(-1), schedules: schedules.slice(-1), webhooks: webhooks.slice(-1) };
}

function requestFor(operation: Operation, known: Known): fc.Arbitrary<RandomRequest> {
  const places = operation.method === 'DELETE' ? { ...known, sessions: known.expendable, ...onlyLast(known) } : known;
  const body =
    operation.body === undefined
      ? fc.constantFrom('', '', '{}', '{"a":1}')
      : bentBody(jsonSchemaOf(operation.body), known);
  const method = fc.oneof(
    { weight: 9, arbitrary: fc.constant<string>(operation.method) },
    { weight: 1, arbitrary: fc.constantFrom<string[]>(...methods) },
  );
  return fc
    .record({
      method,
      path: pathOf(operation.path, places),
      query: queryOf(jsonSchemaOf(operation.query)),
      headers: fc.oneof(fc.constant([]), fc.array(headerLine, { maxLength: 3 })),
      type: contentType,
      body,
      hasCredential: fc.oneof(
        { weight: 12, arbitrary: fc.constant(true) },
        { weight: 1, arbitrary: fc.constant(false) },
      ),
    })
    .map((drawn) => ({
      operation: operation.id,
      line: `${drawn.method} ${drawn.path}${drawn.query} HTTP/1.1`,
      headers: [...(drawn.body === '' ? [] : [`content-type: ${drawn.type}`]), ...drawn.headers],
      body: drawn.method === 'GET' ? '' : drawn.body,
      hasCredential: drawn.hasCredential,
    }));
}

export function bytesOf({ line, headers, body, hasCredential }: RandomRequest, host: string, token: string): Buffer {
  const own = [`host: ${host}`, ...(hasCredential ? [`authorization: Bearer ${token}`] : [])];
  return requestBytes(line, [...own, ...headers], body);
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** As it is, but for what would end the line and begin another: that is tested by hand. */
function inLine(text: string): string {
  return text.replaceAll(/[\r\n ]/g, '+');
}
