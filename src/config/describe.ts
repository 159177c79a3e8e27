// The settings as data for people: the reference page, and the help of the command line.

import { allSettings } from './load.ts';
import { allowedValues } from './problems.ts';
import type { Setting } from './setting.ts';
import { formatQuantity } from './units.ts';

export type SettingDescription = {
  readonly key: string;
  readonly flag: string | null;
  readonly variables: readonly string[];
  readonly allowed: string;
  readonly unit: 'ms' | 'bytes' | null;
  readonly defaultText: string;
  readonly doc: string;
};

export function describeSettings(): SettingDescription[] {
  return allSettings.map((setting) => ({
    key: setting.key,
    flag: setting.flag ?? null,
    variables: setting.variable === null ? [] : [setting.variable, ...(setting.envAliases ?? [])],
    allowed: allowedValues(setting),
    unit: setting.unit,
    defaultText: defaultText(setting),
    doc: setting.doc,
  }));
}

function defaultText(setting: Setting): string {
  if (setting.defaultDoc !== undefined) return setting.defaultDoc;
  const value = setting.schema.safeParse(undefined).data;
  if (typeof value === 'number') return formatQuantity(value, setting.unit);
  // null, and lists: empty unless something is given.
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : 'none';
}
