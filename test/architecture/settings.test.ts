// A setting that nothing reads is a promise that nobody keeps: people set it and nothing changes.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { allSettings } from '../../src/config/load.ts';

const root = join(import.meta.dirname, '../..');

/** Accepted today, read by roles that come later; their doc texts say so. */
const notReadYet: Readonly<Record<string, string>> = {};

/** Code that acts on settings: everything but what loads them, and tests. */
const sources = globSync('src/**/*.ts', { cwd: root })
  .filter((file) => !file.startsWith('src/config/') || file === 'src/config/model-key.ts')
  .filter((file) => !file.startsWith('src/testing/') && !file.endsWith('.test.ts'))
  .map((file) => readFileSync(join(root, file), 'utf8'));

/** `config.server.port`, or `server.port` where the group was taken out of the config first. */
function isRead(path: string): boolean {
  const place = path.includes('.') ? path : `config.${path}`;
  const pattern = new RegExp(`(?<![\\w'"])${place.replaceAll('.', '\\.')}\\b(?!['"])`);
  return sources.some((text) => pattern.test(text));
}

test('every setting is read by code that acts on it, or is on the list of those that wait for it', () => {
  const unread = allSettings.map(({ path }) => path).filter((path) => !isRead(path));
  assert.deepEqual(unread.sort(), Object.keys(notReadYet).sort());
});

test('a setting that is planted without a reader is found', () => {
  assert.equal(isRead('server.planted'), false);
  assert.equal(isRead('planted'), false);
});

test('what waits for its reader says so in its doc text', () => {
  for (const path of Object.keys(notReadYet)) {
    const setting = allSettings.find((candidate) => candidate.path === path);
    assert.match(setting?.doc ?? '', /not used yet|does not use it/i, path);
  }
});
