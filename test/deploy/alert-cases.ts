// For each alert, series on which it must fire and series, nearly the same, on which it must not. In the notation of
// promtool: `0+5x60` grows by 5 each minute, sixty times.

export type Series = Readonly<Record<string, string>>;
export type AlertCase = { readonly at: string; readonly fires: Series; readonly quiet: Series };

const ends = (labels: string): string => `codex_fleet_turn_ends_total{${labels}}`;
const done = ends('reason="none",goes_on="no"');
const lost = ends('reason="worker_lost",goes_on="no"');
const goneOn = ends('reason="worker_lost",goes_on="yes"');
const cancelled = ends('reason="user",goes_on="no"');
const within = 'codex_fleet_gateway_overhead_seconds_bucket{part="handover",le="0.05"}';
const all = 'codex_fleet_gateway_overhead_seconds_count{part="handover"}';
const info = (role: string): string => `codex_fleet_process_info{role="${role}",version="1.0.0",instance="${role}-0"}`;
const roles = { [info('gateway')]: '1x60', [info('session-manager')]: '1x60', [info('model-proxy')]: '1x60' };
const calls = (outcome: string): string => `codex_fleet_store_calls_total{store="records",outcome="${outcome}"}`;
const bucket = (metric: string, le: string): string => `${metric}_bucket{le="${le}"}`;

const tokens = (kind: string): string => `codex_fleet_model_tokens_total{kind="${kind}"}`;

function loss(minutes: number): { fires: Series; quiet: Series } {
  return {
    fires: { [done]: `0+100x${minutes}`, [lost]: `0+10x${minutes}` },
    // What goes on elsewhere, and what its user ended, is not lost.
    quiet: { [done]: `0+100x${minutes}`, [goneOn]: `0+10x${minutes}`, [cancelled]: `0+10x${minutes}` },
  };
}

function slowness(minutes: number): { fires: Series; quiet: Series } {
  return {
    fires: { [all]: `0+100x${minutes}`, [within]: `0+50x${minutes}` },
    quiet: { [all]: `0+1000x${minutes}`, [within]: `0+995x${minutes}` },
  };
}

/** The metric's value: at which it fires, and at which not. */
function level(series: string, fires: number, quiet: number): AlertCase {
  return { at: '50m', fires: { [series]: `${fires}x60` }, quiet: { [series]: `${quiet}x60` } };
}

function growth(series: string, fires: number, quiet: number): AlertCase {
  return { at: '50m', fires: { [series]: `0+${fires}x60` }, quiet: { [series]: `0+${quiet}x60` } };
}

function share(bad: string, good: string): AlertCase {
  return { at: '50m', fires: { [bad]: '0+50x60', [good]: '0+50x60' }, quiet: { [bad]: '0+1x60', [good]: '0+1000x60' } };
}

/** Waits of 1 s, and of 200 s. */
function waits(metric: string): AlertCase {
  const [short, long, any] = [bucket(metric, '1'), bucket(metric, '300'), bucket(metric, '+Inf')];
  return {
    at: '50m',
    fires: { [short]: '0+5x60', [long]: '0+10x60', [any]: '0+10x60' },
    quiet: { [short]: '0+10x60', [long]: '0+10x60', [any]: '0+10x60' },
  };
}

export const alertCases: Readonly<Record<string, AlertCase>> = {
  CodexFleetTurnsLostFast: { at: '2h', ...loss(130) },
  CodexFleetTurnsLostSteady: { at: '7h', ...loss(430) },
  CodexFleetTurnsLostSlow: { at: '8h', ...loss(490) },
  CodexFleetOverheadHighFast: { at: '2h', ...slowness(130) },
  CodexFleetOverheadHighSteady: { at: '7h', ...slowness(430) },
  CodexFleetOverheadHighSlow: { at: '8h', ...slowness(490) },
  CodexFleetRoleMissing: { at: '50m', fires: roles, quiet: { ...roles, [info('worker')]: '1x60' } },
  CodexFleetNoWorkerReady: level('codex_fleet_workers{state="ready"}', 0, 1),
  CodexFleetNoLeader: {
    at: '50m',
    fires: { 'codex_fleet_leader{instance="a"}': '0x60', 'codex_fleet_leader{instance="b"}': '0x60' },
    quiet: { 'codex_fleet_leader{instance="a"}': '0x60', 'codex_fleet_leader{instance="b"}': '1x60' },
  },
  CodexFleetSessionsUnheld: level('codex_fleet_unheld_oldest_seconds', 90, 30),
  CodexFleetWorkerLost: level('codex_fleet_workers{state="lost"}', 1, 0),
  CodexFleetServerErrors: {
    at: '50m',
    fires: {
      'codex_requests_total{route="exec",status_class="5xx"}': '0+10x60',
      'codex_requests_total{route="exec",status_class="2xx"}': '0+90x60',
    },
    // A probe that says "not ready" is no client.
    quiet: {
      'codex_requests_total{route="health",status_class="5xx"}': '0+90x60',
      'codex_requests_total{route="exec",status_class="5xx"}': '0+1x60',
      'codex_requests_total{route="exec",status_class="2xx"}': '0+90x60',
    },
  },
  CodexFleetSlotsBusy: {
    at: '50m',
    fires: { codex_fleet_busy_slots: '10x60', codex_fleet_slot_limit: '10x60' },
    quiet: { codex_fleet_busy_slots: '5x60', codex_fleet_slot_limit: '10x60' },
  },
  CodexFleetNoWarmSlot: {
    at: '50m',
    fires: { 'codex_fleet_slots{state="idle"}': '0x60', codex_fleet_slot_limit: '10x60' },
    // No worker at all is another alert.
    quiet: { 'codex_fleet_slots{state="idle"}': '0x60', codex_fleet_slot_limit: '0x60' },
  },
  CodexFleetQueueSlow: waits('codex_fleet_queue_wait_seconds'),
  CodexFleetQueueStuck: level('codex_fleet_slot_oldest_wait_seconds', 130, 60),
  CodexFleetProcessRestarting: {
    at: '50m',
    fires: { [info('worker')]: '1x60', 'process_start_time_seconds{instance="worker-0"}': '0+120x60' },
    quiet: { [info('worker')]: '1x60', 'process_start_time_seconds{instance="worker-0"}': '100x45 200x15' },
  },
  CodexFleetCodexNotStarting: growth('codex_fleet_slot_starts_total{outcome="failed"}', 1, 0),
  CodexFleetCodexCrashing: growth('codex_fleet_slot_recycles_total{reason="crashed"}', 1, 0.2),
  CodexFleetLeasesLost: growth('codex_fleet_sessions_lost_total', 1, 0.2),
  CodexFleetEventLoopSlow: level('nodejs_eventloop_lag_p99_seconds{instance="a"}', 0.9, 0.1),
  CodexFleetStoreFailing: share(calls('unavailable'), calls('ok')),
  CodexFleetStoreDoorFailing: share(
    'codex_fleet_store_door_calls_total{operation="commit",outcome="overloaded"}',
    'codex_fleet_store_door_calls_total{operation="commit",outcome="done"}',
  ),
  CodexFleetStoreFull: growth(calls('full'), 1, 0),
  CodexFleetStoreCorrupt: growth(calls('corrupt'), 1, 0),
  CodexFleetEventLogLost: growth('codex_fleet_log_appends_total{outcome="log_lost"}', 1, 0),
  CodexFleetEventLogFailing: growth('codex_fleet_log_appends_total{outcome="failed"}', 10, 1),
  CodexFleetSnapshotsFailing: growth('codex_fleet_snapshots_total{outcome="failed"}', 1, 0.1),
  CodexFleetModelFailing: share(
    'codex_fleet_model_requests_total{outcome="provider_error"}',
    'codex_fleet_model_requests_total{outcome="completed"}',
  ),
  CodexFleetJobsWaiting: level('codex_fleet_jobs_due', 900, 100),
  CodexFleetMessagesRefused: growth('codex_fleet_messages_total{outcome="refused"}', 1, 0),
  CodexFleetDeliveriesLate: waits('codex_fleet_delivery_lag_seconds'),
  CodexFleetDeliveriesGivenUp: growth('codex_fleet_deliveries_total{outcome="failed"}', 1, 0),
  CodexFleetSpendHigh: {
    at: '50m',
    fires: { [tokens('input')]: '0+900000x60', [tokens('cached_input')]: '0x60', [tokens('output')]: '0+9000x60' },
    // The same amount, nearly all of it from the cache.
    quiet: {
      [tokens('input')]: '0+900000x60',
      [tokens('cached_input')]: '0+890000x60',
      [tokens('output')]: '0+900x60',
    },
  },
  CodexFleetTokensHigh: growth('codex_fleet_model_tokens_total{kind="input"}', 900_000, 9_000),
};
