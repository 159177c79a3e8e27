import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findDrift, readRegisters, renderReference, type Registers } from '../../tools/generate-reference.ts';

const scratch = mkdtempSync(join(tmpdir(), 'codex-fleet-reference-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const registers = readRegisters();
for (const [path, text] of renderReference(registers)) {
  mkdirSync(dirname(join(scratch, path)), { recursive: true });
  writeFileSync(join(scratch, path), text);
}

const driftAfter = (change: Partial<Registers>): string[] =>
  findDrift(renderReference({ ...registers, ...change }), scratch);

test('the committed reference is what the code says', () => {
  assert.deepEqual(findDrift(renderReference(registers), join(import.meta.dirname, '../..')), []);
});

test('pages that say what the code says pass', () => {
  assert.deepEqual(driftAfter({}), []);
});

test('a new setting, a changed sentence, a new metric, a new operation: each fails the check by page', () => {
  const [setting, ...otherSettings] = registers.settings;
  const [metric, ...otherMetrics] = registers.metrics;
  assert.ok(setting !== undefined && metric !== undefined);
  const config = ['docs/reference/config.md'];
  assert.deepEqual(driftAfter({ settings: [...registers.settings, { ...setting, key: 'server.planted' }] }), config);
  assert.deepEqual(driftAfter({ settings: [{ ...setting, doc: 'Planted.' }, ...otherSettings] }), config);
  assert.deepEqual(driftAfter({ settings: otherSettings }), config);
  assert.deepEqual(
    driftAfter({ errors: { ...registers.errors, planted: { status: 418, title: 'T', retry: 'never', doc: 'D.' } } }),
    ['docs/reference/errors.md'],
  );
  assert.deepEqual(driftAfter({ metrics: [{ ...metric, labels: { route: ['planted'] } }, ...otherMetrics] }), [
    'docs/reference/metrics.md',
  ]);
  assert.deepEqual(driftAfter({ document: { ...registers.document, tags: ['planted'] } }), ['openapi.json']);
});

test('a page that is missing fails the check', () => {
  assert.deepEqual(findDrift(new Map([['docs/reference/gone.md', 'x']]), scratch), ['docs/reference/gone.md']);
});

test('every setting, error and metric has a row of its own', () => {
  const pages = renderReference(registers);
  for (const { key } of registers.settings)
    assert.ok(pages.get('docs/reference/config.md')?.includes(`| \`${key}\` |`), key);
  for (const code of Object.keys(registers.errors)) {
    assert.ok(pages.get('docs/reference/errors.md')?.includes(`\`${code}\` |`), code);
  }
  for (const { name } of registers.metrics)
    assert.ok(pages.get('docs/reference/metrics.md')?.includes(`| \`${name}\` |`), name);
});
