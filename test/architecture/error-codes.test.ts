// A code that nothing throws is a promise of the reference page that nobody keeps; one that no test meets
// is a promise that nobody has seen kept.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorRegister } from '../../src/core/errors.ts';

const root = join(import.meta.dirname, '../..');

/** In the register for a part that comes later. */
const notThrownYet: Readonly<Record<string, string>> = {};

const productSources = globSync('src/**/*.ts', { cwd: root })
  .filter((file) => !file.startsWith('src/testing/') && !file.startsWith('src/protocol/generated/'))
  .filter((file) => !file.endsWith('.test.ts'))
  .map((file) => readFileSync(join(root, file), 'utf8'));
const testSources = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'src/testing/contract-suites/*.ts'], {
  cwd: root,
})
  .filter((file) => file !== 'test/architecture/error-codes.test.ts')
  .map((file) => readFileSync(join(root, file), 'utf8'));

/** What stands in quotes behind one of these is thrown, or written into the `error` of a turn. */
const makers = /\b(?:new ServiceError|errorOf|crashed|super)\(([^;{}]{0,120})|\bcode: ('\w+')/g;
const made = new Set(
  productSources.flatMap((text) =>
    [...text.matchAll(makers)].flatMap(([, call = '', field = '']) =>
      [...`${call}${field}`.matchAll(/'(\w+)'/g)].map(([, word = '']) => word),
    ),
  ),
);
const isMade = (code: string): boolean => made.has(code);
const isMet = (code: string): boolean => testSources.some((text) => text.includes(`'${code}'`));

const codes = Object.keys(errorRegister);

test('every code of the register is thrown somewhere, or is on the list of those that wait for it', () => {
  assert.deepEqual(
    codes.filter((code) => !isMade(code)),
    Object.keys(notThrownYet),
  );
});

test('every code that is thrown is met by a test', () => {
  assert.deepEqual(
    codes.filter((code) => !(code in notThrownYet) && !isMet(code)),
    [],
  );
});

test('a code that is planted and never thrown is found', () => {
  assert.equal(isMade('planted_code'), false);
});
