// The one place where a model's API key is read. Called by the process that uses it, when it starts;
// Config knows only where the key is, so that it can be shown, logged and handed about.

import { readFileSync } from 'node:fs';
import type { Environment } from './host-facts.ts';
import { ConfigProblems } from './problems.ts';
import type { Config } from './resolve.ts';

/** null when the provider is sent no key. Throws ConfigProblems when a named file cannot be used. */
export function readModelKey(model: Config['model'], env: Environment): string | null {
  if (model.apiKeyFile !== null) return readKeyFile(model.apiKeyFile);
  const key = model.apiKeyEnv === null ? '' : (env[model.apiKeyEnv] ?? '').trim();
  return key === '' ? null : key;
}

function readKeyFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigProblems([
      { key: 'model.api_key_file', message: `model.api_key_file (--api-key-file): ${reason}` },
    ]);
  }
  if (text !== '' && !/\s/.test(text)) return text;
  const message = `model.api_key_file (--api-key-file): ${path} must hold one key and nothing else`;
  throw new ConfigProblems([{ key: 'model.api_key_file', message }]);
}
