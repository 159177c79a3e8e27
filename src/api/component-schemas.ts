// JSON Schemas of our zod schemas, as an OpenAPI document wants them: what has an id becomes a
// component and is referred to by its name, everything else stands where it is used.

import * as z from 'zod';

export type JsonObject = { readonly [key: string]: unknown };

const componentPrefix = '#/components/schemas/';

export class ComponentSchemas {
  readonly #schemas = new Map<string, JsonObject>();

  /** A reference when the schema has an id (or is a list of what has one), else the schema itself. */
  use(schema: z.ZodType): JsonObject {
    const { $schema: _dialect, $defs, ...root } = toJsonSchema(schema);
    for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonObject>)) {
      this.add(name, definition);
    }
    const listed = itemNameOfList(root);
    return listed === null ? root : this.add(`${listed}List`, root);
  }

  /** A component made by hand. Throws when another one has the name. */
  add(name: string, definition: JsonObject): JsonObject {
    const known = this.#schemas.get(name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(definition)) {
      throw new TypeError(`two schemas have the id ${name}`);
    }
    this.#schemas.set(name, definition);
    return { $ref: `${componentPrefix}${name}` };
  }

  /** By name, in alphabetical order: the document must not depend on the order of use. */
  all(): JsonObject {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** What a client may send and what it may rely on in an answer; unknown fields of answers are to be ignored. */
function toJsonSchema(schema: z.ZodType): JsonObject {
  const converted = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // The bounds of every whole number in JavaScript say nothing.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      // Numbers in a query come as text; what they mean is said in the schema's metadata.
      const { override, ...rest } = jsonSchema as Record<string, unknown>;
      if (typeof override !== 'object' || override === null) return;
      for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Record<string, unknown>)[key];
      const { type: _type, pattern: _pattern, ...kept } = rest;
      Object.assign(jsonSchema, kept, override);
    },
  });
  return JSON.parse(JSON.stringify(converted).replaceAll('"#/$defs/', `"${componentPrefix}`)) as JsonObject;
}

function itemNameOfList(schema: JsonObject): string | null {
  const { object, data } = (schema['properties'] ?? {}) as Record<string, JsonObject | undefined>;
  const reference = (data?.['items'] as JsonObject | undefined)?.['$ref'];
  return object?.['const'] === 'list' && typeof reference === 'string' ? reference.slice(componentPrefix.length) : null;
}
