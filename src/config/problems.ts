// What is wrong with the configuration, said to the person who wrote it: all of it, one line each.

import { z } from 'zod';
import type { Setting } from './setting.ts';
import { formatQuantity } from './units.ts';

export type ConfigProblem = {
  /** `server.port`; null when the problem is not with one setting. */
  readonly key: string | null;
  readonly message: string;
};

/** Thrown by loadConfig with everything that it found. The message is ready for a terminal. */
export class ConfigProblems extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    super([`The configuration has ${count}:`, ...problems.map((problem) => `  ${problem.message}`)].join('\n'));
    this.name = 'ConfigProblems';
    this.problems = problems;
  }
}

/** `server.port (--port, CODEX_FLEET_PORT)`: every name by which a person may know it. */
export function settingNames(setting: Setting): string {
  const others = [setting.flag, setting.variable].filter((name) => name !== undefined && name !== null);
  return others.length === 0 ? setting.key : `${setting.key} (${others.join(', ')})`;
}

/** What the setting takes, from its schema: `a whole number from 0 to 65535`. */
export function allowedValues(setting: Setting): string {
  const schema = z.toJSONSchema(setting.schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  return describe(schema, setting);
}

type JsonSchema = {
  /** What it takes, in words, where the rest of the schema cannot say it. */
  readonly description?: string;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly maxLength?: number;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
};

function describe(schema: JsonSchema, setting: Setting): string {
  const some = schema.anyOf?.find((option) => option.type !== 'null');
  if (some !== undefined) return describe(some, setting);
  if (setting.kind === 'tables') return 'tables with name, tenant and one of token and token_sha256';
  if (schema.description !== undefined) return schema.description;
  if (schema.enum !== undefined) return `one of ${schema.enum.join(', ')}`;
  switch (schema.type) {
    case 'integer': {
      const range = `from ${formatQuantity(schema.minimum ?? 0, setting.unit)} to ${formatQuantity(schema.maximum ?? 0, setting.unit)}`;
      if (setting.unit === 'ms') return `milliseconds ${range}, or a duration such as 30s, 5m, 2h`;
      if (setting.unit === 'bytes') return `bytes ${range}, or a size such as 64KiB, 16MiB`;
      return `a whole number ${range}`;
    }
    case 'boolean':
      return 'true or false';
    case 'array':
      return `a list, each ${describe(schema.items ?? {}, setting)}`;
    default:
      if (schema.format === 'uri')
        return setting.path === 'redis.url' ? 'a redis:// or rediss:// URL' : 'an http:// or https:// URL';
      if (setting.kind === 'path' || setting.kind === 'path-list') return 'a path';
      if (schema.pattern !== undefined) return `text that matches ${schema.pattern}`;
      return schema.maxLength === undefined ? 'text that is not empty' : `1 to ${schema.maxLength} characters`;
  }
}
