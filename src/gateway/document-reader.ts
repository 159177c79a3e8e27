// An OpenAPI document in the order and words in which a person reads it: operations by tag, types as
// short phrases, a curl line for each operation. Knows nothing of HTML.

type Json = Readonly<Record<string, unknown>>;

export type Field = {
  readonly name: string;
  readonly isRequired: boolean;
  /** Names of schemas stand between « and ». */
  readonly type: string;
  readonly doc: string;
};
export type Shape = {
  readonly name: string;
  readonly description: string;
  readonly type: string;
  readonly fields: readonly Field[];
};
export type DescribedOperation = {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly (Field & { readonly place: string })[];
  readonly body: string | null;
  readonly responses: readonly {
    readonly status: string;
    readonly description: string;
    readonly types: readonly string[];
  }[];
  /** null where curl has no business. */
  readonly curl: string | null;
};

const mostShownValues = 24;

export class DocumentReader {
  readonly #document: Json;

  constructor(document: Json) {
    this.#document = document;
  }

  get title(): string {
    return textOf(objectOf(this.#document['info'])['title']);
  }

  get version(): string {
    return textOf(objectOf(this.#document['info'])['version']);
  }

  get description(): string {
    return textOf(objectOf(this.#document['info'])['description']);
  }

  /** In the order of the operations. */
  tags(): string[] {
    return [...new Set(this.#all().map(({ operation }) => tagOf(operation)))];
  }

  operations(tag: string): DescribedOperation[] {
    return this.#all()
      .filter(({ operation }) => tagOf(operation) === tag)
      .map(({ path, method, operation }) => this.#describe(path, method, operation));
  }

  schemas(): Shape[] {
    const schemas = objectOf(objectOf(this.#document['components'])['schemas']);
    return Object.entries(schemas).map(([name, schema]) => shapeOf(name, objectOf(schema)));
  }

  #all(): { path: string; method: string; operation: Json }[] {
    return Object.entries(objectOf(this.#document['paths'])).flatMap(([path, item]) =>
      Object.entries(objectOf(item))
        .filter(([method]) => method !== 'head')
        .map(([method, operation]) => ({ path, method: method.toUpperCase(), operation: objectOf(operation) })),
    );
  }

  #describe(path: string, method: string, operation: Json): DescribedOperation {
    const content = objectOf(objectOf(operation['requestBody'])['content'])['application/json'];
    const body = content === undefined ? null : objectOf(objectOf(content)['schema']);
    const isWebSocket = '101' in objectOf(operation['responses']);
    return {
      id: textOf(operation['operationId']),
      method,
      path,
      summary: textOf(operation['summary']),
      description: textOf(operation['description']),
      parameters: listOf(operation['parameters']).map((parameter) => ({
        name: textOf(parameter['name']),
        place: textOf(parameter['in']),
        isRequired: parameter['required'] === true,
        type: typeOf(objectOf(parameter['schema'])),
        doc: textOf(parameter['description']),
      })),
      body: body === null ? null : typeOf(body),
      responses: Object.entries(objectOf(operation['responses'])).map(([status, response]) => {
        const resolved = this.#resolve(objectOf(response));
        const types = Object.entries(objectOf(resolved['content'])).map(
          ([contentType, media]) => `${contentType}: ${typeOf(objectOf(objectOf(media)['schema']))}`,
        );
        return { status, description: textOf(resolved['description']), types };
      }),
      curl: isWebSocket ? null : this.#curl(path, method, operation, body),
    };
  }

  #curl(path: string, method: string, operation: Json, body: Json | null): string {
    const isOpen = Array.isArray(operation['security']) && operation['security'].length === 0;
    const url = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => `$${name.toUpperCase()}`);
    const parts = [`curl${method === 'GET' ? '' : ` -X ${method}`} "$CODEX_FLEET_URL${url}"`];
    if (!isOpen) parts.push(`-H "Authorization: Bearer $CODEX_FLEET_TOKEN"`);
    if (body !== null) {
      parts.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(this.#example(body))}'`);
    }
    if ('application/octet-stream' in objectOf(objectOf(operation['requestBody'])['content'])) {
      parts.push('--data-binary @FILE');
    }
    return parts.join(' \\\n  ');
  }

  /** The schema's own example, else its required fields with something in them. */
  #example(schema: Json): unknown {
    const resolved = this.#resolve(schema);
    const given: unknown = Array.isArray(resolved['examples']) ? resolved['examples'][0] : undefined;
    if (given !== undefined) return given;
    const required = Array.isArray(resolved['required']) ? resolved['required'].map(String) : [];
    return Object.fromEntries(required.map((name) => [name, '…']));
  }

  #resolve(object: Json): Json {
    const reference = object['$ref'];
    if (typeof reference !== 'string') return object;
    let at: unknown = this.#document;
    for (const step of reference.slice(2).split('/')) at = objectOf(at)[step];
    return objectOf(at);
  }
}

function shapeOf(name: string, schema: Json): Shape {
  const required = Array.isArray(schema['required']) ? schema['required'].map(String) : [];
  return {
    name,
    description: textOf(schema['description']),
    type: typeOf(schema),
    fields: Object.entries(objectOf(schema['properties'])).map(([field, property]) => ({
      name: field,
      isRequired: required.includes(field),
      type: typeOf(objectOf(property)),
      doc: docOf(objectOf(property)),
    })),
  };
}

/** Said of the property, else of the one thing that it may be beside null. */
function docOf(property: Json): string {
  const own = textOf(property['description']);
  return own !== '' ? own : (listOf(property['anyOf']).map((option) => textOf(option['description']))[0] ?? '');
}

function typeOf(schema: Json): string {
  const reference = schema['$ref'];
  if (typeof reference === 'string') return `«${reference.slice(reference.lastIndexOf('/') + 1)}»`;
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    const options = listOf(schema[key]);
    if (options.length > 0) return [...new Set(options.map(typeOf))].join(key === 'allOf' ? ' and ' : ' | ');
  }
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (Array.isArray(schema['enum'])) {
    const values = schema['enum'].map((value) => JSON.stringify(value));
    return values.length <= mostShownValues ? values.join(' | ') : `one of ${values.length} words`;
  }
  const type = Array.isArray(schema['type']) ? schema['type'].join(' | ') : textOf(schema['type']);
  if (type === 'array') return `list of ${typeOf(objectOf(schema['items']))}`;
  return `${type === '' ? 'any' : type}${boundsOf(schema)}`;
}

function boundsOf(schema: Json): string {
  const { format, minimum, maximum, maxLength } = schema as Record<string, string | number | undefined>;
  const bounds = [
    format,
    minimum === undefined ? undefined : `≥ ${minimum}`,
    maximum === undefined ? undefined : `≤ ${maximum}`,
    maxLength === undefined ? undefined : `at most ${maxLength} characters`,
  ].filter((bound) => bound !== undefined);
  return bounds.length === 0 ? '' : ` (${bounds.join(', ')})`;
}

function tagOf(operation: Json): string {
  const { tags } = operation;
  return Array.isArray(tags) ? textOf(tags[0]) : '';
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
