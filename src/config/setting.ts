// What a setting is: a zod schema for its value, and the facts a person needs about it. The facts sit
// in a registry beside the schema, so that loading, messages and the reference page use the same ones.

import { z } from 'zod';

export type SettingUnit = 'ms' | 'bytes';

/** How text (a flag, a variable) becomes a value. `tables` can only be written in the file. */
export type SettingKind = 'text' | 'number' | 'boolean' | 'choice' | 'list' | 'path' | 'path-list' | 'tables';

export type SettingFacts = {
  readonly doc: string;
  /** The long flag, such as `--port`. Without one, a setting is given by variable or file. */
  readonly flag?: string;
  /** Variables beside CODEX_FLEET_…, read when that one is absent. */
  readonly envAliases?: readonly string[];
  /** How the default reads when it depends on the machine or on other settings. */
  readonly defaultDoc?: string;
  /** The value is never shown. */
  readonly secret?: boolean;
};

type SettingRecord = SettingFacts & { readonly kind: SettingKind; readonly unit: SettingUnit | null };

const records = z.registry<SettingRecord>();

export function setting<S extends z.ZodType>(
  kind: SettingKind,
  schema: S,
  facts: SettingFacts,
  unit: SettingUnit | null = null,
): S {
  records.add(schema, { ...facts, kind, unit });
  return schema;
}

export type Setting = SettingRecord & {
  /** As in Config: `server.bodyLimitBytes`. */
  readonly path: string;
  /** As in the file: `server.body_limit_bytes`. */
  readonly key: string;
  /** null: file only. */
  readonly variable: string | null;
  readonly schema: z.ZodType;
};

/** Every setting below a schema of nested objects, in the order of writing. */
export function listSettings(schema: z.ZodObject, parents: readonly string[] = []): Setting[] {
  return Object.entries(schema.shape).flatMap(([name, child]) => {
    const names = [...parents, name];
    const record = records.get(child as z.ZodType);
    if (record !== undefined) return [toSetting(names, child as z.ZodType, record)];
    const inner = child instanceof z.ZodPrefault ? child.unwrap() : child;
    if (!(inner instanceof z.ZodObject)) throw new TypeError(`${names.join('.')} is neither a setting nor a group`);
    return listSettings(inner, names);
  });
}

function toSetting(names: readonly string[], schema: z.ZodType, record: SettingRecord): Setting {
  const key = names.map(snakeCase).join('.');
  const words = record.flag === undefined ? key.replaceAll('.', '_') : record.flag.slice(2).replaceAll('-', '_');
  const variable = record.kind === 'tables' ? null : `CODEX_FLEET_${words.toUpperCase()}`;
  return { ...record, path: names.join('.'), key, variable, schema };
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
