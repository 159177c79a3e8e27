// The upper half of the dashboard: whether it is well, what turns do, and how much room there is.

import { one, quantiles, type Row } from './panel.ts';
import type { MonitoringSettings } from './settings.ts';

export function wellbeing(settings: MonitoringSettings): Row {
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

export function turns(): Row {
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

export function capacity(): Row {
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

export function streamsAndRequests(): Row {
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
