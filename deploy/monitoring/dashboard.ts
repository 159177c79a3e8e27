// One dashboard, told once: what is shown, in rows, from the question "is it well?" down to single parts. How it is
// drawn is for the renderers.

import type { MonitoringSettings } from './settings.ts';

export type Unit = 'count' | 'per_second' | 'ratio' | 'seconds' | 'bytes' | 'usd';
export type Query = {
  readonly expr: string;
  /** Labels as {{label}}. */
  readonly legend: string;
};
export type Panel = {
  readonly title: string;
  readonly what: string;
  readonly kind: 'number' | 'lines' | 'stacked';
  readonly unit: Unit;
  readonly queries: readonly Query[];
};
export type Row = { readonly title: string; readonly panels: readonly Panel[] };
export type Dashboard = { readonly uid: string; readonly title: string; readonly rows: readonly Row[] };

export function fleetDashboard(settings: MonitoringSettings): Dashboard {
  return {
    uid: 'codex-fleet',
    title: 'Codex Fleet',
    rows: [
      wellbeing(settings),
      turns(),
      capacity(),
      streamsAndRequests(),
      stores(),
      processes(),
      outside(),
      spend(settings),
    ],
  };
}

const one = (expr: string, legend = ''): readonly Query[] => [{ expr, legend }];

function quantiles(metric: string, more = ''): readonly Query[] {
  return ['0.5', '0.95', '0.99'].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket${more}[5m])))`,
    legend: `p${Number(quantile) * 100}`,
  }));
}

function wellbeing(settings: MonitoringSettings): Row {
  return {
    title: 'Is it well?',
    panels: [
      {
        title: 'Accepted turns lost by us, 3 days',
        what: `Share; the objective allows ${percent(1 - settings.turnsObjective)}.`,
        kind: 'number',
        unit: 'ratio',
        queries: one('codex_fleet:turn_loss:ratio_rate3d'),
      },
      {
        title: `Slower than ${settings.overheadSeconds * 1000} ms by us, 3 days`,
        what: `Share of handovers and answers; the objective allows ${percent(1 - settings.overheadObjective)}.`,
        kind: 'number',
        unit: 'ratio',
        queries: one('codex_fleet:overhead_slow:ratio_rate3d'),
      },
      {
        title: 'Workers ready',
        what: 'As the session managers know them.',
        kind: 'number',
        unit: 'count',
        queries: one('max(codex_fleet_workers{state="ready"})'),
      },
      {
        title: 'Slots at work',
        what: 'Of all that the workers may run.',
        kind: 'number',
        unit: 'ratio',
        queries: one('codex_fleet:busy_slots:ratio'),
      },
    ],
  };
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}

function turns(): Row {
  return {
    title: 'Turns',
    panels: [
      {
        title: 'Turns that ended',
        what: 'By how they ended.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_turns_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Why turns ended otherwise',
        what: 'Those that no other turn goes on with. user and timeout are wishes; model is the provider.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one(
          'sum by (reason) (rate(codex_fleet_turn_ends_total{goes_on="no",reason!="none"}[5m]))',
          '{{reason}}',
        ),
      },
      {
        title: 'What the fleet adds',
        what: 'handover: until a worker has the turn; answer: from its end to its client. 99 of 100.',
        kind: 'lines',
        unit: 'seconds',
        queries: one(
          'histogram_quantile(0.99, sum by (le, part) (rate(codex_fleet_gateway_overhead_seconds_bucket[5m])))',
          '{{part}}',
        ),
      },
      {
        title: 'Time to the first event',
        what: 'From accepting a turn to the first thing that the agent did or said.',
        kind: 'lines',
        unit: 'seconds',
        queries: quantiles('codex_fleet_time_to_first_event_seconds'),
      },
      {
        title: 'How long turns run',
        what: 'Without the wait for a slot.',
        kind: 'lines',
        unit: 'seconds',
        queries: quantiles('codex_fleet_turn_duration_seconds'),
      },
      {
        title: 'Sessions taken over, lost, unheld',
        what: 'Taken over from a lost worker; lost by a worker that lives; with open turns and no worker.',
        kind: 'lines',
        unit: 'count',
        queries: [
          { expr: 'sum(increase(codex_fleet_sessions_taken_total{from="lost_owner"}[5m]))', legend: 'taken over' },
          { expr: 'sum(increase(codex_fleet_sessions_lost_total[5m]))', legend: 'lost' },
          { expr: 'max(codex_fleet_unheld_sessions)', legend: 'unheld' },
        ],
      },
    ],
  };
}

function capacity(): Row {
  return {
    title: 'Capacity',
    panels: [
      {
        title: 'Slots',
        what: 'At work, and the most there may be.',
        kind: 'lines',
        unit: 'count',
        queries: [
          { expr: 'sum(codex_fleet_busy_slots)', legend: 'at work' },
          { expr: 'sum(codex_fleet_slot_limit)', legend: 'limit' },
          { expr: 'sum(codex_fleet_slots{state="idle"})', legend: 'warm and free' },
        ],
      },
      {
        title: 'Who waits',
        what: 'Turns in hand that have not begun; sessions that wait for a slot.',
        kind: 'lines',
        unit: 'count',
        queries: [
          { expr: 'sum(codex_fleet_waiting_turns)', legend: 'turns' },
          { expr: 'sum(codex_fleet_slot_waits)', legend: 'for a slot' },
        ],
      },
      {
        title: 'Wait for a slot',
        what: 'Of turns that began; and of the one that waits longest now.',
        kind: 'lines',
        unit: 'seconds',
        queries: [
          ...quantiles('codex_fleet_queue_wait_seconds'),
          { expr: 'max(codex_fleet_slot_oldest_wait_seconds)', legend: 'longest now' },
        ],
      },
      {
        title: 'Workers',
        what: 'As the session managers know them; lost: in the last minute.',
        kind: 'stacked',
        unit: 'count',
        queries: one('max by (state) (codex_fleet_workers)', '{{state}}'),
      },
      {
        title: 'Codex processes started',
        what: 'By outcome.',
        kind: 'lines',
        unit: 'per_second',
        queries: one('sum by (outcome) (rate(codex_fleet_slot_starts_total[5m]))', '{{outcome}}'),
      },
      {
        title: 'Codex processes ended',
        what: 'By reason; crashed and unresponsive are the ones to look at.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (reason) (rate(codex_fleet_slot_recycles_total[5m]))', '{{reason}}'),
      },
    ],
  };
}

function streamsAndRequests(): Row {
  return {
    title: 'Requests and streams',
    panels: [
      {
        title: 'Requests',
        what: 'By class of status.',
        kind: 'stacked',
        unit: 'per_second',
        queries: one('sum by (status_class) (rate(codex_requests_total[5m]))', '{{status_class}}'),
      },
      {
        title: 'Open streams',
        what: 'And those cut because their reader was too slow.',
        kind: 'lines',
        unit: 'count',
        queries: [
          { expr: 'sum by (kind) (codex_fleet_streams)', legend: '{{kind}}' },
          { expr: 'sum(increase(codex_fleet_streams_cut_total[5m]))', legend: 'cut in 5 minutes' },
        ],
      },
      {
        title: 'Lag of streams',
        what: 'From the making of an event to its handing on.',
        kind: 'lines',
        unit: 'seconds',
        queries: quantiles('codex_fleet_stream_lag_seconds'),
      },
    ],
  };
}

function stores(): Row {
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

function processes(): Row {
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

function outside(): Row {
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

function spend(settings: MonitoringSettings): Row {
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
