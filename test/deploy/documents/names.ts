// Names that documents speak of and that the program has or has not: variables, settings, metrics, routes.

import type { SettingDescription } from '../../../src/config/describe.ts';
import type { Page } from './page.ts';

/** Of the command line alone, and so in no settings. */
const clientVariables = ['CODEX_FLEET_URL', 'CODEX_FLEET_TOKEN', 'CODEX_FLEET_CONFIG'];

export function unknownVariables({ file, text }: Page, settings: readonly SettingDescription[]): string[] {
  const known = new Set([...clientVariables, ...settings.flatMap(({ variables }) => variables)]);
  const named = new Set([...text.matchAll(/\bCODEX_FLEET_[A-Z0-9_]*[A-Z0-9]\b/g)].map(([name]) => name));
  return [...named].filter((name) => !known.has(name)).map((name) => `${file}: there is no ${name}`);
}

const fileEndings = /\.(?:md|ts|json|toml|yaml|yml|env|sh|db|pem|sock)$/;

/** Pieces of code such as `worker.slots`, where the first word is a section of the settings. */
export function unknownSettings({ file, inline }: Page, settings: readonly SettingDescription[]): string[] {
  const keys = new Set(settings.map(({ key }) => key));
  const sections = new Set(settings.flatMap(({ key }) => (key.includes('.') ? [key.split('.')[0]] : [])));
  return [...new Set(inline)]
    .filter((code) => /^[a-z_]+\.[a-z_]+$/.test(code) && !fileEndings.test(code))
    .filter((code) => sections.has(code.split('.')[0]) && !keys.has(code))
    .map((code) => `${file}: there is no setting ${code}`);
}

export function unknownMetrics({ file, text }: Page, known: ReadonlySet<string>): string[] {
  const named = new Set(
    [...text.matchAll(/\bcodex_(?:fleet|requests?)_[a-z0-9_]*[a-z0-9]\b(?![:*])/g)].map(([name]) => name),
  );
  return [...named]
    .filter((name) => !known.has(name) && !known.has(name.replace(/_(?:bucket|sum|count)$/, '')))
    .map((name) => `${file}: there is no ${name}`);
}

export type Routes = ReadonlyMap<string, ReadonlySet<string>>;

/** Pieces of code such as `POST /api/v1/workers/{id}/drain`; a name in braces or in capitals stands for any. */
export function unknownRoutes({ file, inline }: Page, routes: Routes): string[] {
  const shape = (route: string): string => route.replaceAll(/\{[^}]+\}|\$[A-Z_]+|\b[A-Z_]{2,}\b/g, '{}');
  const known = new Map([...routes].map(([route, methods]) => [shape(route), methods]));
  return [...new Set(inline)].flatMap((code) => {
    const [, method = '', route = ''] = /^(GET|POST|PUT|PATCH|DELETE) (\/api\/[^\s?]+)/.exec(code) ?? [];
    if (route === '' || known.get(shape(route))?.has(method.toLowerCase()) === true) return [];
    return [`${file}: there is no ${method} ${route}`];
  });
}
