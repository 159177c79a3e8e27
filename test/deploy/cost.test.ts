import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { costPath, type PricedOverlay, priceOverlays, renderCostPage } from '../../tools/generate-cost.ts';
import { isKubectlInstalled, missingKubectl } from './render.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;

test('the page of costs is what the overlays and the prices say now', { skip }, async () => {
  const page = readFileSync(join(import.meta.dirname, '../..', costPath), 'utf8');
  const priced = await priceOverlays();
  assert.equal(page, renderCostPage(priced), 'npm run reference');
  const dearer = priced.map((each): PricedOverlay => ({ ...each, cost: { ...each.cost, least: each.cost.least + 1 } }));
  assert.notEqual(page, renderCostPage(dearer), 'a dollar more is another page');
});

test('a fleet for production costs hundreds of dollars a month, and its tokens more', { skip }, async () => {
  for (const { cost, name } of await priceOverlays()) {
    assert.ok(
      cost.rows.every(({ least, most }) => least >= 0 && most >= least),
      name,
    );
    assert.ok(cost.least > 100 && cost.least < 1_000, `${name}: ${cost.least}`);
    assert.ok(cost.tokens.least > cost.most, name);
  }
});

test('every row of the first estimate has its reason', { skip }, async () => {
  const page = renderCostPage(await priceOverlays());
  const [, section = ''] = /## Beside the first estimate\n([\s\S]*?)\n## /.exec(page) ?? [];
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| first'));
  assert.equal(rows.length, 8);
  for (const said of ['$200', '$25', '$40', '$15', '$20', '$300']) {
    const row = rows.find((each) => each.includes(`| ${said} |`));
    assert.ok(row !== undefined, said);
    assert.notEqual(row.split('|')[3]?.trim(), said, 'it differs');
    assert.ok((row.split('|')[4]?.trim().length ?? 0) > 20, 'it says why');
  }
});
