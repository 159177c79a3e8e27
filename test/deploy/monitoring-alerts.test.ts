import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { alertsOf } from '../../deploy/monitoring/rule.ts';
import { ruleGroups } from '../../deploy/monitoring/rules.ts';
import { settings } from '../../deploy/monitoring/settings.ts';
import { generatedDir } from '../../tools/generate-monitoring.ts';
import { alertCases, type AlertCase, type Series } from './alert-cases.ts';
import { promtool, withoutPromtool } from './promtool.ts';

const rulesFile = path.join(import.meta.dirname, '..', '..', generatedDir, 'prometheus/codex-fleet.rules.yaml');
const skip = withoutPromtool();

test('each alert has a case in which it fires and one in which it does not', () => {
  assert.deepEqual(
    Object.keys(alertCases).sort(),
    alertsOf(ruleGroups(settings))
      .map(({ alert }) => alert)
      .sort(),
  );
});

test('Prometheus takes the rules', { skip }, async () => {
  assert.match(await promtool(['check', 'rules', rulesFile]), /SUCCESS/);
});

function testOf(alert: string, at: string, series: Series, fires: boolean): Readonly<Record<string, unknown>> {
  return {
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [
      {
        expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) > bool 0`,
        eval_time: at,
        exp_samples: fires ? [{ labels: '{}', value: 1 }] : [],
      },
    ],
  };
}

async function tryCase(alert: string, { at, fires, quiet }: AlertCase): Promise<void> {
  const dir = mkdtempSync(path.join(tmpdir(), 'alerts-'));
  try {
    const file = path.join(dir, 'test.yaml');
    const tests = [testOf(alert, at, fires, true), testOf(alert, at, quiet, false)];
    writeFileSync(file, stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests }));
    await promtool(['test', 'rules', file]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

for (const [alert, given] of Object.entries(alertCases)) {
  test(`${alert} fires when it should, and only then`, { skip }, () => tryCase(alert, given));
}

test('a case that is the wrong way round is told', { skip }, async () => {
  const { at, fires, quiet } = alertCases['CodexFleetNoLeader'] ?? assert.fail();
  await assert.rejects(tryCase('CodexFleetNoLeader', { at, fires: quiet, quiet: fires }), /FAILED/);
});
