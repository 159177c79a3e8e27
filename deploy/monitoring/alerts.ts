// Everything else that somebody is told of, by what is wrong: here the fleet itself. Each alert has a runbook under
// its name.

import { processRoles } from '../../src/observability/operating-metrics.ts';
import type { RuleGroup } from './rule.ts';
import { outsideAlerts, spendAlerts, storeAlerts } from './outside-alerts.ts';
import type { MonitoringSettings } from './settings.ts';

const rolesOfCluster = processRoles.filter((role) => role !== 'fleet');
/** Not what the roles ask of one another, nor what machines ask. */
const clientRoutes = 'route!~"health|metrics|worker|model_proxy|other"';

export function alertGroups(settings: MonitoringSettings): readonly RuleGroup[] {
  return [
    presence(settings),
    capacity(settings),
    processes(settings),
    storeAlerts(settings),
    outsideAlerts(settings),
    spendAlerts(settings),
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
