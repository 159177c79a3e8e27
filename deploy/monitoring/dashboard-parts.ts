// The lower half of the dashboard: stores, processes, what is done for others, and money.

import { one, quantiles, type Row } from './panel.ts';
import type { MonitoringSettings } from './settings.ts';

export function stores(): Row {
  return {
    title: 'Stores',
    panels: [
      {
        title: 'Failures of stores',
        what: 'Share of calls that failed or met nobody; of workers through the store door.',
        kind: 'lines',
        unit: 'ratio',
        queries: one(
          'sum by (store) (rate(codex_fleet_store_calls_total{outcome=~"unavailable|failed|full|corrupt"}[5m])) / ' +
            'sum by (store) (rate(codex_fleet_store_calls_total[5m]))',
          '{{store}}',
        ),
      },
      {
        title: 'Calls of stores',
        what: 'What Firestore, Cloud Storage and Redis are asked.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (store) (rate(codex_fleet_store_calls_total[5m]))', '{{store}}'),
      },
      {
        title: 'The store door',
        what: 'What workers ask of session managers, by what became of it; conflict and refused are answers.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_store_door_calls_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'The store door takes',
        what: '95 of 100, the wait for room included, by kind of call.',
        kind: 'lines',
        unit: 'seconds',
        queries: one(
          'histogram_quantile(0.95, sum by (le, operation) (rate(codex_fleet_store_door_duration_seconds_bucket[5m])))',
          '{{operation}}',
        ),
      },
      {
        title: 'Who waits at the store door',
        what: 'For room; many for long means too few session managers.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum(codex_fleet_store_door_waiting)', 'waiting'),
      },
      {
        title: 'Appends to the event log',
        what: 'Anything but appended is worth a look.',
        kind: 'lines',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_log_appends_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Snapshots take',
        what: 'What a turn waits for at its end.',
        kind: 'lines',
        unit: 'seconds',
        queries: quantiles('codex_fleet_snapshot_seconds'),
      },
      {
        title: 'Snapshots: bytes',
        what: 'Put into the store each second.',
        kind: 'lines',
        unit: 'bytes',
        queries: one('sum(rate(codex_fleet_snapshot_bytes_total[5m]))', 'bytes'),
      },
      {
        title: 'Snapshots that failed',
        what: 'In 5 minutes.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum(increase(codex_fleet_snapshots_total{outcome="failed"}[5m]))', 'failed'),
      },
    ],
  };
}

export function processes(): Row {
  return {
    title: 'Processes',
    panels: [
      {
        title: 'Processes',
        what: 'By role and version.',
        kind: 'stacked',
        unit: 'count',
        queries: one('sum by (role, version) (codex_fleet_process_info)', '{{role}} {{version}}'),
      },
      {
        title: 'Starts',
        what: 'In a quarter of an hour, of each process.',
        kind: 'lines',
        unit: 'count',
        queries: one('max by (instance) (changes(process_start_time_seconds[15m]))', '{{instance}}'),
      },
      {
        title: 'Memory',
        what: 'Of our own process; not of the Codex processes beside it.',
        kind: 'lines',
        unit: 'bytes',
        queries: one('max by (instance) (process_resident_memory_bytes)', '{{instance}}'),
      },
      {
        title: 'Processor time',
        what: 'Of our own process, in cores.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum by (instance) (rate(process_cpu_seconds_total[5m]))', '{{instance}}'),
      },
      {
        title: 'Event loop lag',
        what: '99 of 100.',
        kind: 'lines',
        unit: 'seconds',
        queries: one('max by (instance) (nodejs_eventloop_lag_p99_seconds)', '{{instance}}'),
      },
      {
        title: 'Commands ended for memory',
        what: 'In 5 minutes: one session beyond its own limit, or the whole container at its end.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum by (reason) (increase(codex_fleet_commands_killed_total[5m]))', '{{reason}}'),
      },
      {
        title: 'Who leads',
        what: 'One, and only one; a moment of none is a change.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum(codex_fleet_leader)', 'leaders'),
      },
    ],
  };
}

export function outside(): Row {
  return {
    title: 'Jobs, messages, deliveries',
    panels: [
      {
        title: 'Jobs',
        what: 'Due and waiting; running.',
        kind: 'lines',
        unit: 'count',
        queries: [
          { expr: 'max(codex_fleet_jobs_due)', legend: 'due' },
          { expr: 'max(codex_fleet_jobs_running)', legend: 'running' },
        ],
      },
      {
        title: 'Messages read',
        what: 'By what became of them.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_messages_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Deliveries',
        what: 'Attempts, by outcome.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_deliveries_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Lag of deliveries',
        what: 'From what happened to its arrival.',
        kind: 'lines',
        unit: 'seconds',
        queries: quantiles('codex_fleet_delivery_lag_seconds'),
      },
    ],
  };
}

export function spend(settings: MonitoringSettings): Row {
  return {
    title: 'Models and money',
    panels: [
      {
        title: 'Calls of the model',
        what: 'By outcome.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_model_requests_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Tokens in an hour',
        what: 'Cached input is a part of input, reasoning of output.',
        kind: 'lines',
        unit: 'count',
        queries: one('sum by (kind) (increase(codex_fleet_model_tokens_total[1h]))', '{{kind}}'),
      },
      {
        title: 'US dollars in an hour',
        what: `Tokens at ${settings.usdPerMillionInput}, cached ${settings.usdPerMillionCachedInput}, output ${settings.usdPerMillionOutput} dollars a million: the prices of settings.ts.`,
        kind: 'lines',
        unit: 'usd',
        queries: one('codex_fleet:model_cost_usd:per_hour', 'dollars'),
      },
      {
        title: 'Tokens in an hour, by model',
        what: 'Input and output of turns that ended.',
        kind: 'stacked',
        unit: 'count',
        queries: one('sum by (model) (increase(codex_fleet_turn_tokens_total{kind=~"input|output"}[1h]))', '{{model}}'),
      },
    ],
  };
}
