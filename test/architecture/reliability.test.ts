import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { mergeRows, readPage, readRecord, renderPage } from '../../tools/generate-reliability.ts';
import { recordReliability, type ReliabilityRow } from '../faults/reliability-record.ts';

const row = (suite: string, fault: string, date = '2026-01-01'): ReliabilityRow => ({
  suite,
  fault,
  count: '3 kills',
  result: 'none lost',
  control: 'a lost event is seen',
  date,
});

test('what a test records is a row of its file and day, and without the variable nothing is written', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'fleet-reliability-test-'));
  const file = path.join(dir, 'rows');
  const finding = { fault: 'killed', count: 3, result: 'whole', control: 'a lost event' };
  const before = process.env['CODEX_FLEET_RELIABILITY'];
  try {
    delete process.env['CODEX_FLEET_RELIABILITY'];
    recordReliability(finding);
    process.env['CODEX_FLEET_RELIABILITY'] = file;
    recordReliability(finding);
    const [recorded, ...others] = readRecord(readFileSync(file, 'utf8'));
    assert.deepEqual(others, []);
    assert.equal(recorded?.suite, 'test/architecture/reliability.test.ts');
    assert.match(recorded?.date ?? '', /^\d{4}-\d\d-\d\d$/);
    assert.deepEqual({ ...recorded, suite: '', date: '' }, { ...finding, suite: '', date: '' });
  } finally {
    if (before === undefined) delete process.env['CODEX_FLEET_RELIABILITY'];
    else process.env['CODEX_FLEET_RELIABILITY'] = before;
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a page is read as it was written, whatever its cells hold', () => {
  const rows = [row('test/a.test.ts', 'a | b'), { ...row('test/b.test.ts', 'cut'), result: '`x` | y, 1 of 2' }];
  assert.deepEqual(readPage(renderPage(rows, 'a machine')), rows);
});

test('a suite that ran has the rows of this run alone, one that did not keeps its dates, one that is gone has none', () => {
  const kept = [row('ran', 'old words'), row('ran', 'both'), row('did not', 'x'), row('gone', 'y')];
  const run = [row('ran', 'both', '2026-02-02'), row('ran', 'both', '2026-02-03'), row('a new one', 'z', '2026-02-02')];
  const merged = mergeRows(kept, run, (suite) => suite !== 'gone');
  assert.deepEqual(merged, [
    row('a new one', 'z', '2026-02-02'),
    row('did not', 'x'),
    row('ran', 'both', '2026-02-03'),
  ]);
});
