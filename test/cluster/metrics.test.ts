import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAlert } from '../../deploy/monitoring/rule.ts';
import { ruleGroups } from '../../deploy/monitoring/rules.ts';
import { settings } from '../../deploy/monitoring/settings.ts';
import { parseExpression } from '../deploy/promql.ts';
import { eventually } from '../e2e/eventually.ts';
import { RunningCluster } from './running-cluster.ts';

const metricsToken = 'a-token-for-numbers-only';
const roles = ['gateway', 'worker', 'session-manager', 'model-proxy'] as const;

test('one credential reads the numbers of all four roles, which move with a turn, and every series that a rule names is on one of their pages', {
  timeout: 120_000,
}, async (t) => {
  let controlUrl = '';
  const running = await RunningCluster.start(t, {
    gateways: 1,
    workers: 1,
    storeDoor: true,
    env: { CODEX_FLEET_METRICS_TOKEN: metricsToken },
    memberEnv: (_member, env) => {
      controlUrl = env['CODEX_FLEET_MODEL_PROXY_CONTROL_URL'] ?? '';
      return env;
    },
  });
  if (running === null) return;
  const urlOf = (role: (typeof roles)[number]): string =>
    role === 'model-proxy' ? controlUrl : (running.cluster.members(role)[0]?.url ?? assert.fail(role));
  const ask = (role: (typeof roles)[number], token: string): Promise<Response> =>
    fetch(`${urlOf(role)}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const page = async (role: (typeof roles)[number]): Promise<string> => {
    const answer = await ask(role, metricsToken);
    assert.equal(answer.status, 200, role);
    return await answer.text();
  };

  const answer = await running.client.exec({ prompt: 'run: echo hello' });
  assert.equal(answer.body.status, 'completed');
  for (const role of roles) {
    assert.match(await page(role), new RegExp(`^codex_fleet_process_info\\{role="${role}",version="[^"]+"\\} 1$`, 'm'));
    assert.equal((await ask(role, 'some-other-token-of-16')).status, 401, role);
  }
  await eventually('the numbers have moved', 10_000, async () => {
    const moved: readonly (readonly [(typeof roles)[number], string])[] = [
      ['gateway', 'codex_fleet_gateway_overhead_seconds_count{part="handover"}'],
      ['gateway', 'codex_fleet_gateway_overhead_seconds_count{part="answer"}'],
      ['gateway', 'codex_fleet_store_calls_total{store="records",outcome="ok"}'],
      ['worker', 'codex_fleet_turn_ends_total{reason="none",goes_on="no"}'],
      ['worker', 'codex_fleet_snapshots_total{outcome="taken"}'],
      ['worker', 'codex_fleet_slot_limit'],
      ['worker', 'codex_fleet_store_calls_total{store="records",outcome="ok"}'],
      ['worker', 'codex_fleet_store_calls_total{store="log",outcome="ok"}'],
      ['session-manager', 'codex_fleet_leader'],
      ['session-manager', 'codex_fleet_workers{state="ready"}'],
      ['model-proxy', 'codex_fleet_model_requests_total{outcome="completed"}'],
    ];
    for (const [role, series] of moved) {
      const line = (await page(role)).split('\n').find((one) => one.startsWith(`${series} `));
      if (line === undefined || Number(line.slice(series.length)) <= 0) return false;
    }
    return true;
  });

  const pages = (await Promise.all(roles.map(page))).join('\n');
  const rules = ruleGroups(settings).flatMap((group) => group.rules);
  const recorded = rules.flatMap((rule) => (isAlert(rule) ? [] : [rule.record]));
  const named = new Set(rules.flatMap(({ expr }) => parseExpression(expr).selectors.map(({ series }) => series)));
  const missing = [...named].filter(
    (series) => !recorded.includes(series) && !new RegExp(`^${series}[{ ]`, 'm').test(pages),
  );
  assert.deepEqual(missing, []);
});
