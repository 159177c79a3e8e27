import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { errorRegister } from '../core/errors.ts';
import { terminalEventTypes } from '../core/event.ts';
import type { JsonObject } from './component-schemas.ts';
import { ComponentSchemas } from './component-schemas.ts';
import { eventSchemaName, openApiDocument } from './openapi.ts';
import { operations } from './operations.ts';
import { sessionSchema } from './sessions.ts';

const document = openApiDocument('1.2.3') as {
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<'schemas' | 'responses', Readonly<Record<string, JsonObject>>>>;
};
type Operation = {
  readonly operationId: string;
  readonly security?: readonly unknown[];
  readonly parameters?: readonly { readonly name: string; readonly schema: JsonObject; readonly required: boolean }[];
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly content?: JsonObject }>>;
};

test('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(document) as Record<string, unknown>);
  assert.deepEqual(result, { valid: true });
  assert.equal(validator.version, '3.1');
  assert.equal(document.info.version, '1.2.3');
});

test('every reference leads somewhere', () => {
  const references = new Set(
    [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? ''),
  );
  const lost = [...references].filter((reference) => {
    let at: unknown = document;
    for (const step of reference.slice(2).split('/')) at = (at as Record<string, unknown> | undefined)?.[step];
    return at === undefined;
  });
  assert.deepEqual(lost, []);
  assert.ok(references.size > 50);
});

test('every operation of the table is there, with the errors that it names and those that any request can meet', () => {
  for (const { id, method, path, errors, isOpen } of Object.values(operations)) {
    const described = document.paths[path]?.[method.toLowerCase()];
    assert.equal(described?.operationId, id);
    const named = Object.entries(described.responses).flatMap(([status, { $ref = '' }]) =>
      $ref.startsWith('#/components/responses/')
        ? $ref
            .slice('#/components/responses/'.length)
            .split('-')
            .map((code) => ({ status, code }))
        : [],
    );
    for (const { status, code } of named) {
      assert.equal(errorRegister[code as keyof typeof errorRegister].status, Number(status), `${id}: ${code}`);
    }
    const codes = named.map(({ code }) => code);
    for (const code of [...errors, 'invalid_request', 'internal', ...(isOpen ? [] : ['unauthenticated'])]) {
      assert.ok(codes.includes(code), `${id} can answer ${code}`);
    }
    assert.equal(described.security?.length === 0, isOpen);
  }
});

test('numbers in a query are described as numbers, and what has a default is not required', () => {
  const parameters = document.paths['/api/v1/sessions']?.['get']?.parameters ?? [];
  const limit = parameters.find((parameter) => parameter.name === 'limit');
  assert.deepEqual(limit, {
    name: 'limit',
    in: 'query',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: 100, default: 20 },
  });
});

test('the events of a stream are one named union, with a place for types to come', () => {
  const { schemas } = document.components;
  const options = ((schemas['StreamEvent']?.['anyOf'] ?? []) as { $ref: string }[]).map(({ $ref }) =>
    $ref.split('/').at(-1),
  );
  assert.equal(options.at(-1), 'Event');
  for (const type of terminalEventTypes) assert.ok(options.includes(eventSchemaName(type)), type);
  assert.equal(eventSchemaName('turn.timed_out'), 'TurnTimedOutEvent');
});

test('two schemas cannot share a name', () => {
  const schemas = new ComponentSchemas();
  schemas.use(sessionSchema);
  schemas.use(sessionSchema);
  assert.throws(() => schemas.add('Session', { type: 'string' }), /two schemas have the id Session/);
});
