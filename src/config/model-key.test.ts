import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readModelKey } from './model-key.ts';

const openai = {
  provider: 'openai',
  name: 'm',
  baseUrl: 'https://api.openai.com/v1',
  apiKeyEnv: 'KEY',
  apiKeyFile: null,
} as const;

test('the key is read from its variable, without the line end that shells leave', () => {
  assert.equal(readModelKey(openai, { KEY: 'sk-1\n', OPENAI_API_KEY: 'sk-2' }), 'sk-1');
  assert.equal(readModelKey(openai, { KEY: '' }), null);
  assert.equal(readModelKey({ ...openai, apiKeyEnv: null }, { KEY: 'sk-1' }), null);
});

test('a key file goes before the variable; one that cannot be a key is a problem with a name', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'model-key-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'key');
  writeFileSync(file, 'sk-file\n');
  assert.equal(readModelKey({ ...openai, apiKeyFile: file }, { KEY: 'sk-1' }), 'sk-file');
  writeFileSync(file, 'two words\n');
  assert.throws(() => readModelKey({ ...openai, apiKeyFile: file }, {}), { message: /must hold one key/ });
  assert.throws(() => readModelKey({ ...openai, apiKeyFile: join(directory, 'gone') }, {}), { message: /ENOENT/ });
});
