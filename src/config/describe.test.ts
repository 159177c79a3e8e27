import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeSettings } from './describe.ts';

test('each setting is described with its names, what it takes, its default and a sentence', () => {
  const settings = describeSettings();
  assert.deepEqual(
    settings.find((setting) => setting.key === 'turns.timeout_ms'),
    {
      key: 'turns.timeout_ms',
      flag: null,
      variables: ['CODEX_FLEET_TURNS_TIMEOUT_MS'],
      allowed: 'milliseconds from 1 to 86400000 (24 h), or a duration such as 30s, 5m, 2h',
      unit: 'ms',
      defaultText: '1800000 (30 min)',
      doc: 'How long a turn may run when the request does not say; the wait for a slot is not in it.',
    },
  );
  for (const { key, doc, allowed, defaultText } of settings) {
    assert.ok(doc.endsWith('.') && allowed !== '' && defaultText !== '', key);
  }
});

test('no two settings share a name', () => {
  const settings = describeSettings();
  const names = settings.flatMap(({ key, flag, variables }) => [key, ...(flag === null ? [] : [flag]), ...variables]);
  assert.equal(new Set(names).size, names.length);
});

test('the flags that people are told of exist', () => {
  const flags = new Set(describeSettings().map((setting) => setting.flag));
  const promised = [
    '--port',
    '--host',
    '--data-dir',
    '--slots',
    '--warm-slots',
    '--storage',
    '--model-provider',
    '--model',
    '--base-url',
    '--api-key-env',
    '--api-key-file',
  ];
  assert.deepEqual(
    promised.filter((flag) => !flags.has(flag)),
    [],
  );
});
