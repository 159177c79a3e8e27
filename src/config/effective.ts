// The configuration as it is in effect, for a person: each setting with its value and where it came
// from, secrets hidden.

import { allSettings, type LoadedConfig } from './load.ts';
import type { Origin } from './sources.ts';

export type EffectiveSetting = {
  readonly key: string;
  /** `(hidden)` for a secret that is set. */
  readonly value: unknown;
  readonly origin: Origin;
};

export const hidden = '(hidden)';

export function effectiveSettings({ config, origins }: LoadedConfig): EffectiveSetting[] {
  return allSettings.map(({ path, key, secret }) => {
    const value = valueAt(config, path);
    const isSet = value !== null && !(Array.isArray(value) && value.length === 0);
    const origin = origins.get(path) ?? { source: 'default', name: '' };
    return { key, value: secret === true && isSet ? hidden : withoutCredentials(value), origin };
  });
}

function valueAt(config: object, path: string): unknown {
  let at: unknown = config;
  for (const step of path.split('.')) at = (at as Record<string, unknown>)[step];
  return at;
}

/** A password may stand in any URL. */
function withoutCredentials(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutCredentials);
  return typeof value === 'string' ? value.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, `$1${hidden}@`) : value;
}
