// What whoever runs a fleet is told beside its daily numbers: what we added to a request, what became of what
// we had accepted, who waits and for how long, and how the stores answer. The rules of deploy/monitoring read these.

import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { endReasons } from '../core/turn.ts';
import {
  labelledCounter,
  labelledHistogram,
  rememberLabels,
  type LabelledCounter,
  type LabelledHistogram,
} from './metric-kinds.ts';

export const processRoles = ['gateway', 'worker', 'session-manager', 'model-proxy', 'fleet'] as const;
export type ProcessRole = (typeof processRoles)[number];

export const overheadParts = ['handover', 'answer'] as const;
export type OverheadPart = (typeof overheadParts)[number];

/** none: it was completed. */
export const turnEndReasons = ['none', ...endReasons] as const;
export type TurnEndReason = (typeof turnEndReasons)[number];

const yesOrNo = ['yes', 'no'] as const;

export const takenFrom = ['nobody', 'lost_owner'] as const;
export type TakenFrom = (typeof takenFrom)[number];

export const snapshotOutcomes = ['taken', 'failed'] as const;
export type SnapshotOutcome = (typeof snapshotOutcomes)[number];

export const countedStores = ['records', 'snapshots', 'log', 'directory', 'registry', 'leadership'] as const;
export type CountedStore = (typeof countedStores)[number];

/** conflict: another was first, which is an answer; refused: an answer of another kind that is no failure of the store. */
export const storeOutcomes = ['ok', 'conflict', 'refused', 'unavailable', 'full', 'corrupt', 'failed'] as const;
export type StoreOutcome = (typeof storeOutcomes)[number];

export type OperatingMetrics = {
  /** What our own parts add: see the help text, which is the definition. */
  readonly gatewayOverheadSeconds: LabelledHistogram<{ readonly part: OverheadPart }>;
  /** goes_on: another turn goes on with it. */
  readonly turnEnds: LabelledCounter<{ readonly reason: TurnEndReason; readonly goes_on: 'yes' | 'no' }>;
  /** At work now; a session that only rests in its slot gives it up to who needs one. */
  readonly busySlots: Gauge;
  readonly slotLimit: Gauge;
  readonly slotWaits: Gauge;
  readonly slotOldestWaitSeconds: Gauge;
  /** As the leading session manager knows them; 0 at all others. */
  readonly unheldSessions: Gauge;
  readonly unheldOldestSeconds: Gauge;
  readonly sessionsTaken: LabelledCounter<{ readonly from: TakenFrom }>;
  readonly sessionsLost: Counter;
  readonly snapshots: LabelledCounter<{ readonly outcome: SnapshotOutcome }>;
  readonly snapshotSeconds: Histogram;
  readonly snapshotBytes: Counter;
  readonly storeCalls: LabelledCounter<{ readonly store: CountedStore; readonly outcome: StoreOutcome }>;
};

/** What process this is, for rules that speak of one role. */
export type ProcessFacts = { readonly role: ProcessRole; readonly version: string };

// 50 ms is what was promised first; rules may ask for any of these.
const overheadBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;
const snapshotBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export function operatingMetrics(registry: Registry, facts: ProcessFacts | null): OperatingMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  tellProcess(registry, facts);
  return {
    gatewayOverheadSeconds: labelledHistogram(
      registry,
      {
        name: 'codex_fleet_gateway_overhead_seconds',
        help:
          'What the fleet itself adds to a turn. handover: from a prompt that was read to a worker that has the turn; ' +
          'answer: from the recorded end of a turn to its answer to a client that waits. The model, the wait for a slot ' +
          'and the snapshot are not in it; the clocks of gateway and worker are taken for the same.',
        buckets: overheadBuckets,
      },
      { part: overheadParts },
    ),
    turnEnds: labelledCounter(
      registry,
      {
        name: 'codex_fleet_turn_ends_total',
        help: 'Accepted turns that ended, by why (none: completed), and whether another turn goes on with them.',
      },
      { reason: turnEndReasons, goes_on: yesOrNo },
    ),
    busySlots: gauge(
      'codex_fleet_busy_slots',
      'Slots of this worker in which a turn or a command is at work now; sessions that rest in a slot are not in it.',
    ),
    slotLimit: gauge('codex_fleet_slot_limit', 'The most slots that this worker runs at a time; 0 where no worker is.'),
    slotWaits: gauge('codex_fleet_slot_waits', 'Sessions of this worker that wait for a slot now.'),
    slotOldestWaitSeconds: gauge(
      'codex_fleet_slot_oldest_wait_seconds',
      'How long the first of those that wait for a slot of this worker has waited; looked at every 2 s.',
    ),
    unheldSessions: gauge(
      'codex_fleet_unheld_sessions',
      'Sessions with open turns that no worker holds, as the leading session manager knows them.',
    ),
    unheldOldestSeconds: gauge(
      'codex_fleet_unheld_oldest_seconds',
      'For how long the leading session manager has known the oldest of the sessions that no worker holds.',
    ),
    sessionsTaken: labelledCounter(
      registry,
      {
        name: 'codex_fleet_sessions_taken_total',
        help: 'Sessions that this worker took to write, by whom from; lost_owner: a takeover.',
      },
      { from: takenFrom },
    ),
    sessionsLost: new Counter({
      name: 'codex_fleet_sessions_lost_total',
      help: 'Sessions that this worker had to stop because its right to write them was gone: leases lost.',
      registers,
    }),
    snapshots: labelledCounter(
      registry,
      { name: 'codex_fleet_snapshots_total', help: 'Snapshots of sessions, by outcome.' },
      { outcome: snapshotOutcomes },
    ),
    snapshotSeconds: new Histogram({
      name: 'codex_fleet_snapshot_seconds',
      help: 'How long it took to keep what a turn did, before its end was recorded.',
      buckets: [...snapshotBuckets],
      registers,
    }),
    snapshotBytes: new Counter({
      name: 'codex_fleet_snapshot_bytes_total',
      help: 'Bytes put into the store of snapshots.',
      registers,
    }),
    storeCalls: labelledCounter(
      registry,
      {
        name: 'codex_fleet_store_calls_total',
        help: 'Calls of the stores that the roles of a cluster share, by store and outcome; conflict and refused are answers.',
      },
      { store: countedStores, outcome: storeOutcomes },
    ),
  };
}

function tellProcess(registry: Registry, facts: ProcessFacts | null): void {
  const name = 'codex_fleet_process_info';
  const info = new Gauge({
    name,
    help: '1, with the role and the version of this process.',
    labelNames: ['role', 'version'],
    registers: [registry],
  });
  rememberLabels(registry, name, { role: processRoles, version: ['of this program'] });
  if (facts !== null) info.set({ ...facts }, 1);
}
