import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Benchmark } from './benchmark.ts';
import { replaceSections } from './report.ts';

const benchmark = (title: string): Benchmark => ({
  name: title.toLowerCase(),
  title,
  method: 'How.',
  limitMs: 1,
  run: async () => ({ findings: [], facts: [] }),
});

test('a section that ran takes the place of its last, a new one comes behind, the others stay as they are', () => {
  const page = '# Benchmarks\n\nHead.\n\n## One\n\nold\n\n## Two\n\nkept | as | it is\n\n';
  const outcome = (title: string) => ({ benchmark: benchmark(title), result: 'broken', attempts: 1 });
  assert.equal(
    replaceSections(page, [], [outcome('One'), outcome('Three')]),
    '# Benchmarks\n\nHead.\n\n## One\n\n`npm run bench -- one`. How.\n\nNot measured: broken\n\n' +
      '## Two\n\nkept | as | it is\n\n## Three\n\n`npm run bench -- three`. How.\n\nNot measured: broken',
  );
});

test('facts of a run by itself stand in its section', () => {
  const outcome = { benchmark: benchmark('One'), result: { findings: [], facts: [] }, attempts: 1 };
  assert.match(
    replaceSections('# B\n', [{ what: 'measured by itself', value: 'today' }], [outcome]),
    /- measured by itself: today$/,
  );
});

test('what a machine lacks something for is said to be left out, not to have failed', () => {
  const outcome = { benchmark: benchmark('One'), result: 'needs Java', attempts: 0 };
  assert.match(replaceSections('# B\n', [], [outcome]), /How\.\n\nLeft out: needs Java$/);
});
