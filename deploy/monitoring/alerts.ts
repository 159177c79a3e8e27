// Everything else that somebody is told of, by what is wrong. Each alert has a runbook under its name.

import { processRoles } from '../../src/observability/operating-metrics.ts';
import type { RuleGroup } from './rule.ts';
import type { MonitoringSettings } from './settings.ts';

const rolesOfCluster = processRoles.filter((role) => role !== 'fleet');
const storeFailures = 'outcome=~"unavailable|failed"';
const modelFailures = 'outcome=~"provider_error|unreachable|timed_out"';
/** Not what the roles ask of one another, nor what machines ask. */
const clientRoutes = 'route!~"health|metrics|worker|model_proxy|other"';

export function alertGroups(settings: MonitoringSettings): readonly RuleGroup[] {
  return [
    presence(settings),
    capacity(settings),
    processes(settings),
    stores(settings),
    outside(settings),
    spend(settings),
  ];
}

function presence({ serverErrorRatio, unheldSeconds }: MonitoringSettings): RuleGroup {
  const answered = (more: string): string => `sum(rate(codex_requests_total{${clientRoutes}${more}}[5m]))`;
  return {
    name: 'codex-fleet-presence',
    intervalSeconds: 30,
    rules: [
      {
        alert: 'CodexFleetRoleMissing',
        severity: 'page',
        holds: '5m',
        expr: rolesOfCluster.map((role) => `absent(codex_fleet_process_info{role="${role}"})`).join(' or '),
        summary: 'No process of the role {{ $labels.role }} is heard of',
        cost: 'Without gateways nobody gets in; without workers or a model proxy nothing runs; without session managers nothing is recovered.',
      },
      {
        alert: 'CodexFleetNoWorkerReady',
        severity: 'page',
        holds: '2m',
        expr: 'max(codex_fleet_workers{state="ready"}) == 0',
        summary: 'The session managers know no worker that takes turns',
        cost: 'New prompts are refused with 503; what was accepted waits.',
      },
      {
        alert: 'CodexFleetNoLeader',
        severity: 'page',
        holds: '2m',
        expr: 'max(codex_fleet_leader) == 0',
        summary: 'No session manager leads',
        cost: 'Sessions of lost workers are not taken over, jobs do not start, webhooks are not delivered.',
      },
      {
        alert: 'CodexFleetSessionsUnheld',
        severity: 'page',
        holds: '1m',
        expr: `max(codex_fleet_unheld_oldest_seconds) > ${unheldSeconds}`,
        summary: 'Accepted turns wait at sessions that no worker holds',
        cost: 'Those turns neither run nor end; their clients wait.',
      },
      {
        alert: 'CodexFleetWorkerLost',
        severity: 'ticket',
        holds: '0m',
        expr: 'max(codex_fleet_workers{state="lost"}) > 0',
        summary: '{{ $value }} worker(s) were lost in the last minute',
        cost: 'Turns that ran there were interrupted; their sessions go on elsewhere within seconds.',
      },
      {
        alert: 'CodexFleetServerErrors',
        severity: 'page',
        holds: '5m',
        expr: `${answered(',status_class="5xx"')} / ${answered('')} > ${serverErrorRatio}`,
        summary: 'More than {{ $value | humanizePercentage }} of the requests of clients are answered with 5xx',
        cost: 'Requests are refused that should have been taken.',
      },
    ],
  };
}

function capacity({ busyRatio, oldestWaitSeconds, queueWaitP95Seconds }: MonitoringSettings): RuleGroup {
  return {
    name: 'codex-fleet-capacity',
    intervalSeconds: 30,
    rules: [
      {
        record: 'codex_fleet:busy_slots:ratio',
        expr: 'sum(codex_fleet_busy_slots) / sum(codex_fleet_slot_limit)',
      },
      {
        record: 'codex_fleet:queue_wait_seconds:p95_10m',
        expr: 'histogram_quantile(0.95, sum by (le) (rate(codex_fleet_queue_wait_seconds_bucket[10m])))',
      },
      {
        alert: 'CodexFleetSlotsBusy',
        severity: 'ticket',
        holds: '15m',
        expr: `codex_fleet:busy_slots:ratio > ${busyRatio}`,
        summary: '{{ $value | humanizePercentage }} of all slots are at work',
        cost: 'The next burst of prompts has to wait.',
      },
      {
        alert: 'CodexFleetNoWarmSlot',
        severity: 'ticket',
        holds: '10m',
        expr: 'sum(codex_fleet_slots{state="idle"}) == 0 and sum(codex_fleet_slot_limit) > 0',
        summary: 'No worker has a warm slot left',
        cost: 'Each session that wakes waits for a process to start, or for another session to give its slot up.',
      },
      {
        alert: 'CodexFleetQueueSlow',
        severity: 'page',
        holds: '10m',
        expr: `codex_fleet:queue_wait_seconds:p95_10m > ${queueWaitP95Seconds}`,
        summary: 'One turn in twenty waits longer than {{ $value | humanizeDuration }} for a slot',
        cost: 'Users look at "queued"; after queue_timeout_ms their turns end unrun.',
      },
      {
        alert: 'CodexFleetQueueStuck',
        severity: 'page',
        holds: '2m',
        expr: `max(codex_fleet_slot_oldest_wait_seconds) > ${oldestWaitSeconds}`,
        summary: 'A turn has waited {{ $value | humanizeDuration }} for a slot, and still does',
        cost: 'Some users wait without end in sight, whatever the average says.',
      },
    ],
  };
}

function processes({ eventLoopLagSeconds }: MonitoringSettings): RuleGroup {
  return {
    name: 'codex-fleet-processes',
    intervalSeconds: 30,
    rules: [
      {
        alert: 'CodexFleetProcessRestarting',
        severity: 'page',
        holds: '0m',
        expr:
          'max by (instance) (changes(process_start_time_seconds[15m])) * on (instance) group_left (role) ' +
          'max by (instance, role) (codex_fleet_process_info) > 3',
        summary: 'A {{ $labels.role }} ({{ $labels.instance }}) starts again and again',
        cost: 'What it did is interrupted each time; with others of its role left, users notice delays.',
      },
      {
        alert: 'CodexFleetCodexNotStarting',
        severity: 'page',
        holds: '2m',
        expr: 'sum(increase(codex_fleet_slot_starts_total{outcome="failed"}[10m])) > 5',
        summary: 'Codex processes do not start',
        cost: 'Workers run out of slots; turns wait, then fail with agent_start_failed.',
      },
      {
        alert: 'CodexFleetCodexCrashing',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_slot_recycles_total{reason=~"crashed|unresponsive"}[15m])) > 5',
        summary: 'Codex processes crash or stop answering',
        cost: 'Each takes a turn with it (agent_crashed); a session with two in a row is quarantined.',
      },
      {
        alert: 'CodexFleetLeasesLost',
        severity: 'ticket',
        holds: '0m',
        expr: 'sum(increase(codex_fleet_sessions_lost_total[15m])) > 5',
        summary: 'Workers lose the right to write their sessions',
        cost: 'Turns in these sessions are interrupted, though no process died.',
      },
      {
        alert: 'CodexFleetEventLoopSlow',
        severity: 'ticket',
        holds: '10m',
        expr: `max by (instance) (nodejs_eventloop_lag_p99_seconds) > ${eventLoopLagSeconds}`,
        summary: '{{ $labels.instance }} is too busy to answer in time',
        cost: 'Streams stutter; if it goes on, probes and leases fail.',
      },
    ],
  };
}

function stores({ storeFailureRatio }: MonitoringSettings): RuleGroup {
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

function outside({ deliveryLagP95Seconds, jobsDue, modelFailureRatio }: MonitoringSettings): RuleGroup {
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

function spend(settings: MonitoringSettings): RuleGroup {
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
