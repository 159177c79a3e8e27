import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { describeSettings, type SettingDescription } from '../../src/config/describe.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

const root = dirname(dirname(import.meta.dirname));
const pages = ['README.md', 'README.pt-BR.md'];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');

/** Rows of the table of settings that name a key, a flag or a variable that there is not. */
function staleRows(markdown: string, settings: readonly SettingDescription[]): string[] {
  const rows = [...markdown.matchAll(/^\| `([a-z_.]+)` \| (?:`(--[a-z-]+)`)? ?\| (?:`([A-Z_]+)`)? ?\|/gm)];
  assert.ok(rows.length >= 10, `the table of settings has ${rows.length} rows`);
  return rows.flatMap(([, key = '', flag, variable]) => {
    const setting = settings.find((one) => one.key === key);
    const isTrue = setting?.flag === (flag ?? null) && setting.variables[0] === variable;
    return isTrue ? [] : [key];
  });
}

function unknownMetrics(markdown: string, known: readonly string[]): string[] {
  const named = [...markdown.matchAll(/`(codex_[a-z_]+)`/g)].map(([, name = '']) => name);
  assert.ok(named.length > 0, 'no metric is named');
  return named.filter((name) => !known.includes(name));
}

const metricNames = createMetrics()
  .describe()
  .map(({ name }) => name);

for (const page of pages) {
  test(`the settings and metrics that ${page} names are those that there are`, () => {
    assert.deepEqual(staleRows(read(page), describeSettings()), []);
    assert.deepEqual(unknownMetrics(read(page), metricNames), []);
  });
}

test('a setting that was renamed, one that lost its flag and a metric that is gone are found', () => {
  const readme = read('README.md');
  const settings = describeSettings();
  const changed = settings.flatMap((setting) => {
    if (setting.key === 'worker.slots') return [{ ...setting, key: 'worker.places' }];
    return [setting.key === 'server.port' ? { ...setting, flag: null } : setting];
  });
  assert.deepEqual(staleRows(readme, changed), ['server.port', 'worker.slots']);
  const fewer = metricNames.filter((name) => name !== 'codex_requests_total');
  assert.deepEqual(unknownMetrics(readme, fewer), ['codex_requests_total']);
});
