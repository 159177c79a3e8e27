// What a session manager's store door says of itself: calls by kind and by what became of them, and how long they took.

import { Gauge, type Registry } from 'prom-client';
import { type LabelledCounter, labelledCounter, type LabelledHistogram, labelledHistogram } from './metric-kinds.ts';

export const doorOperations = [
  'read',
  'write',
  'commit',
  'list',
  'tell',
  'object_read',
  'object_write',
  'object_names',
] as const;
export type DoorOperation = (typeof doorOperations)[number];

/** conflict: a condition did not hold, or a name was taken; overloaded: refused for want of room; cut: nobody waited any more. */
export const doorOutcomes = ['done', 'conflict', 'refused', 'overloaded', 'failed', 'cut'] as const;
export type DoorOutcome = (typeof doorOutcomes)[number];

export type StoreDoorMetrics = {
  readonly storeDoorCalls: LabelledCounter<{ readonly operation: DoorOperation; readonly outcome: DoorOutcome }>;
  readonly storeDoorSeconds: LabelledHistogram<{ readonly operation: DoorOperation }>;
  /** Calls that wait for room at the door. */
  readonly storeDoorWaiting: Gauge;
};

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

export function storeDoorMetrics(registry: Registry): StoreDoorMetrics {
  return {
    storeDoorCalls: labelledCounter(
      registry,
      {
        name: 'codex_fleet_store_door_calls_total',
        help: 'What workers asked of the store door of this session manager, by kind and by what became of it.',
      },
      { operation: doorOperations, outcome: doorOutcomes },
    ),
    storeDoorSeconds: labelledHistogram(
      registry,
      {
        name: 'codex_fleet_store_door_duration_seconds',
        help: 'From the arrival of a call at the store door to its answer, the wait for room included.',
        buckets,
      },
      { operation: doorOperations },
    ),
    storeDoorWaiting: new Gauge({
      name: 'codex_fleet_store_door_waiting',
      help: 'Calls that wait for room at the store door now.',
      registers: [registry],
    }),
  };
}
