import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { fleetDashboard } from '../../deploy/monitoring/dashboard.ts';
import { runbookAnchor, writtenGroups } from '../../deploy/monitoring/render-rules.ts';
import { alertsOf, isAlert } from '../../deploy/monitoring/rule.ts';
import { ruleGroups } from '../../deploy/monitoring/rules.ts';
import { settings } from '../../deploy/monitoring/settings.ts';
import { findMonitoringDrift, generatedDir, renderMonitoring } from '../../tools/generate-monitoring.ts';
import { type KnownSeries, productSeries, unknownNames } from './known-series.ts';
import { parseExpression } from './promql.ts';

const root = path.join(import.meta.dirname, '..', '..');
const groups = ruleGroups(settings);
const rules = groups.flatMap((group) => group.rules);
const recorded = new Set(rules.flatMap((rule) => (isAlert(rule) ? [] : [rule.record])));
const shown = fleetDashboard(settings).rows.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries));

function problemsIn(exprs: readonly { readonly expr: string }[], known: KnownSeries): string[] {
  return exprs.flatMap(({ expr }) => unknownNames(expr, known, recorded));
}

test('every series, label and value that a rule names is one that the product exports', async () => {
  assert.deepEqual(problemsIn(rules, await productSeries()), []);
});

test('every series, label and value that the dashboard names is one that the product exports', async () => {
  assert.deepEqual(problemsIn(shown, await productSeries()), []);
});

test('a metric, a label, a value, a bound or a group that does not exist is told, and what is no PromQL is refused', async () => {
  const known = await productSeries();
  const told = (expr: string): string[] => unknownNames(expr, known, recorded);
  assert.deepEqual(told('sum(codex_fleet_turnz_total)'), ['there is no codex_fleet_turnz_total']);
  assert.deepEqual(told('codex_fleet_leader{state="ready"}'), ['codex_fleet_leader has no label state']);
  assert.deepEqual(told('codex_fleet_slots{state=~"idle|asleep"}'), ['codex_fleet_slots: state is never asleep']);
  assert.deepEqual(told('codex_fleet_slots{state!="asleep"}'), ['codex_fleet_slots: state is never asleep']);
  assert.deepEqual(told('codex_fleet_gateway_overhead_seconds_bucket{le="0.06"}'), [
    'codex_fleet_gateway_overhead_seconds_bucket: le is never 0.06',
  ]);
  assert.deepEqual(told('codex_fleet_gateway_overhead_seconds'), ['there is no codex_fleet_gateway_overhead_seconds']);
  assert.deepEqual(told('sum by (tenant) (codex_fleet_leader)'), ['no series has tenant']);
  assert.deepEqual(told('codex_fleet:never_recorded:ratio'), ['there is no codex_fleet:never_recorded:ratio']);
  assert.deepEqual(told('max by (instance) (process_resident_memory_bytes{pod="a"})'), []);
  for (const broken of ['sum(', 'rate(codex_fleet_leader[5x])', '{a="b"}'])
    assert.throws(() => told(broken), SyntaxError);
});

test('what is recorded is recorded before it is used, once, and is used', () => {
  const made: string[] = [];
  for (const rule of rules) {
    const used = parseExpression(rule.expr).selectors.filter(({ series }) => series.includes(':'));
    for (const { series } of used) assert.ok(made.includes(series), `${series} is used before it is recorded`);
    if (!isAlert(rule)) made.push(rule.record);
  }
  assert.equal(new Set(made).size, made.length);
  const named = [...rules, ...shown].flatMap(({ expr }) => parseExpression(expr).selectors.map(({ series }) => series));
  assert.deepEqual(
    made.filter((record) => !named.includes(record)),
    [],
  );
});

test('each alert says in words what is wrong, what users notice and for how long it must hold', () => {
  const alerts = alertsOf(groups);
  assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length);
  for (const { alert, cost, holds, summary } of alerts) {
    assert.match(alert, /^CodexFleet[A-Z][A-Za-z]+$/);
    assert.match(summary, /^\S.{9,}/, alert);
    assert.match(cost, /^\S.{20,}[.]$/, alert);
    assert.match(holds, /^\d+[mh]$/, alert);
  }
});

/** Alerts without a runbook, and runbooks without an alert. */
function unmatched(runbooks: string, alerts: readonly string[]): string[] {
  const headed = [...runbooks.matchAll(/^## (CodexFleet\w+)$/gm)].map(([, name = '']) => name);
  const missing = alerts.filter((alert) => !headed.includes(alert)).map((alert) => `no runbook: ${alert}`);
  return [...missing, ...headed.filter((name) => !alerts.includes(name)).map((name) => `no alert: ${name}`)];
}

test('each alert has a runbook at the anchor that it names, and each runbook an alert', () => {
  const alerts = alertsOf(groups).map(({ alert }) => alert);
  const text = readFileSync(path.join(root, 'docs/operate/runbooks.md'), 'utf8');
  assert.deepEqual(unmatched(text, alerts), []);
  for (const { alert, annotations } of writtenGroups(groups, settings).flatMap((group) => group.rules)) {
    if (alert !== undefined)
      assert.equal(annotations?.['runbook_url'], `${settings.runbooks}#${runbookAnchor({ alert })}`);
  }
  assert.deepEqual(unmatched('## CodexFleetGone\n', ['CodexFleetHere']), [
    'no runbook: CodexFleetHere',
    'no alert: CodexFleetGone',
  ]);
});

test('the written files are what the source says, and a changed, a missing or a forgotten one is found', (t) => {
  const expected = renderMonitoring();
  assert.deepEqual(findMonitoringDrift(expected, root), []);
  const copy = mkdtempSync(path.join(tmpdir(), 'monitoring-'));
  t.after(() => rmSync(copy, { recursive: true, force: true }));
  const dir = path.join(copy, generatedDir);
  mkdirSync(dir, { recursive: true });
  cpSync(path.join(root, generatedDir), dir, { recursive: true });
  writeFileSync(path.join(dir, 'gmp/rules.yaml'), 'spec: {}\n');
  rmSync(path.join(dir, 'grafana/codex-fleet.json'));
  writeFileSync(path.join(dir, 'gmp/old.yaml'), '\n');
  assert.deepEqual(findMonitoringDrift(expected, copy).sort(), [
    `${generatedDir}/gmp/old.yaml`,
    `${generatedDir}/gmp/rules.yaml`,
    `${generatedDir}/grafana/codex-fleet.json`,
  ]);
});

test('the three forms of the rules hold the same groups', () => {
  const read = (name: string): { groups?: unknown; spec?: { groups: unknown } } =>
    parse(readFileSync(path.join(root, generatedDir, name), 'utf8')) as never;
  const plain = read('prometheus/codex-fleet.rules.yaml').groups;
  assert.deepEqual(read('operator/prometheus-rule.yaml').spec?.groups, plain);
  assert.deepEqual(read('gmp/rules.yaml').spec?.groups, plain);
});
