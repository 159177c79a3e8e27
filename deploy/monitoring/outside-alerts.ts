// Alerts about what the fleet depends on, stores and models, and about what it does for others.

import type { RuleGroup } from './rule.ts';
import type { MonitoringSettings } from './settings.ts';

const storeFailures = 'outcome=~"unavailable|failed"';
const modelFailures = 'outcome=~"provider_error|unreachable|timed_out"';

export function storeAlerts({ storeDoorFailureRatio, storeFailureRatio }: MonitoringSettings): RuleGroup {
  const door = (more: string): string => `sum(rate(codex_fleet_store_door_calls_total${more}[5m]))`;
  const calls = (more: string): string => `sum by (store) (rate(codex_fleet_store_calls_total${more}[5m]))`;
  return {
    name: 'codex-fleet-stores',
    intervalSeconds: 30,
    rules: [
      {
        alert: 'CodexFleetStoreFailing',
        severity: 'page',
        holds: '5m',
        expr: `${calls(`{${storeFailures}}`)} / ${calls('')} > ${storeFailureRatio}`,
        summary: 'The store {{ $labels.store }} fails for {{ $value | humanizePercentage }} of what it is asked',
        cost: 'New prompts are refused with store_unavailable; turns that run go on, but cannot end while it lasts.',
      },
      {
        alert: 'CodexFleetStoreDoorFailing',
        severity: 'page',
        holds: '5m',
        expr: `${door('{outcome=~"overloaded|failed"}')} / ${door('')} > ${storeDoorFailureRatio}`,
        summary: 'The store door turns away or fails {{ $value | humanizePercentage }} of what workers ask',
        cost: 'Turns take long to begin and to end, and some end as failed because they could not be kept.',
      },
      {
        alert: 'CodexFleetStoreFull',
        severity: 'page',
        holds: '0m',
        expr: 'sum by (store) (increase(codex_fleet_store_calls_total{outcome="full"}[10m])) > 0',
        summary: 'The store {{ $labels.store }} has no room left',
        cost: 'Turns end with storage_full; nothing new can be kept.',
      },
      {
        alert: 'CodexFleetStoreCorrupt',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum by (store) (increase(codex_fleet_store_calls_total{outcome="corrupt"}[1h])) > 0',
        summary: 'Something in the store {{ $labels.store }} is damaged',
        cost: 'Sessions in the damaged part are refused, or go back to their last whole snapshot.',
      },
      {
        alert: 'CodexFleetEventLogLost',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_log_appends_total{outcome="log_lost"}[15m])) > 0',
        summary: 'The event log lost what it had: Redis was restarted empty, or failed over',
        cost: 'Workers write it again; what a worker that dies at the same moment had not sealed is lost.',
      },
      {
        alert: 'CodexFleetEventLogFailing',
        severity: 'page',
        holds: '2m',
        expr: 'sum(increase(codex_fleet_log_appends_total{outcome="failed"}[5m])) > 20',
        summary: 'Events cannot be appended to the log',
        cost: 'Streams stand still; workers keep the events until they have no room for more.',
      },
      {
        alert: 'CodexFleetSnapshotsFailing',
        severity: 'page',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_snapshots_total{outcome="failed"}[15m])) > 2',
        summary: 'What turns did cannot be kept',
        cost: 'These turns end as failed (storage) although the agent was done.',
      },
    ],
  };
}

export function outsideAlerts({ deliveryLagP95Seconds, jobsDue, modelFailureRatio }: MonitoringSettings): RuleGroup {
  return {
    name: 'codex-fleet-outside',
    intervalSeconds: 60,
    rules: [
      {
        alert: 'CodexFleetModelFailing',
        severity: 'page',
        holds: '5m',
        expr:
          `sum(rate(codex_fleet_model_requests_total{${modelFailures}}[5m])) / ` +
          `sum(rate(codex_fleet_model_requests_total[5m])) > ${modelFailureRatio}`,
        summary: '{{ $value | humanizePercentage }} of the calls of the model fail',
        cost: 'Turns are slow or end with the reason model.',
      },
      {
        alert: 'CodexFleetJobsWaiting',
        severity: 'ticket',
        holds: '15m',
        expr: `max(codex_fleet_jobs_due) > ${jobsDue}`,
        summary: '{{ $value }} jobs are due and wait',
        cost: 'Work that nobody waits for is late.',
      },
      {
        alert: 'CodexFleetMessagesRefused',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_messages_total{outcome="refused"}[1h])) > 0',
        summary: 'Messages came that can never become a job',
        cost: 'They go to the dead-letter topic; nothing is run for them.',
      },
      {
        alert: 'CodexFleetDeliveriesLate',
        severity: 'ticket',
        holds: '10m',
        expr:
          'histogram_quantile(0.95, sum by (le) (rate(codex_fleet_delivery_lag_seconds_bucket[10m]))) > ' +
          `${deliveryLagP95Seconds}`,
        summary: 'One delivery in twenty takes longer than {{ $value | humanizeDuration }}',
        cost: 'Receivers of webhooks and of the topic hear late of what happened.',
      },
      {
        alert: 'CodexFleetDeliveriesGivenUp',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_deliveries_total{outcome="failed"}[1h])) > 0',
        summary: 'Deliveries were given up',
        cost: 'A receiver was never told; it has to be asked to look, or the delivery repeated.',
      },
    ],
  };
}

export function spendAlerts(settings: MonitoringSettings): RuleGroup {
  const rate = (kind: string): string => `sum(rate(codex_fleet_model_tokens_total{kind="${kind}"}[1h]))`;
  // Cached input is counted as input as well.
  const paid = [
    `${settings.usdPerMillionInput} * (${rate('input')} - ${rate('cached_input')})`,
    `${settings.usdPerMillionCachedInput} * ${rate('cached_input')}`,
    `${settings.usdPerMillionOutput} * ${rate('output')}`,
  ];
  return {
    name: 'codex-fleet-spend',
    intervalSeconds: 60,
    rules: [
      {
        record: 'codex_fleet:model_cost_usd:per_hour',
        expr: `3600 / 1e6 * (${paid.join(' + ')})`,
      },
      {
        record: 'codex_fleet:model_tokens:per_hour',
        expr: 'sum(rate(codex_fleet_model_tokens_total{kind=~"input|output"}[1h])) * 3600',
      },
      {
        alert: 'CodexFleetSpendHigh',
        severity: 'page',
        holds: '10m',
        expr: `codex_fleet:model_cost_usd:per_hour > ${settings.budgetUsdPerHour}`,
        summary: 'Models cost about {{ $value | humanize }} US dollars in an hour',
        cost: 'Money: at this rate the budget of the hour is spent before the hour is.',
      },
      {
        alert: 'CodexFleetTokensHigh',
        severity: 'ticket',
        holds: '10m',
        expr: `codex_fleet:model_tokens:per_hour > ${settings.tokensPerHour}`,
        summary: 'Models take {{ $value | humanize }} tokens in an hour',
        cost: 'Money, however well the prices of the rules fit the models in use.',
      },
    ],
  };
}
