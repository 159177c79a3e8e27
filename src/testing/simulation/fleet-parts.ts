// What the processes of a simulated world are made with: its stores, all watched by one checker, and how
// often calls go wrong, as the seed says.

import { MemoryLeadership } from '../../adapters/memory/memory-leadership.ts';
import { Checker } from './checker.ts';
import type { FleetParts } from './simulated-fleet.ts';
import type { World } from './simulated-process.ts';
import {
  ForgetfulDirectory,
  ForgetfulLog,
  ForgetfulRegistry,
  TearingSnapshotStore,
  watchedRecords,
} from './simulated-stores.ts';

export type FleetPartsOptions = {
  readonly world: World;
  /** No call fails. */
  readonly isCalm: boolean;
  /** Faults are not over yet. */
  readonly isTrial: () => boolean;
  /** Of a run of a worker: nothing keeps it from going on with what it has. */
  readonly isWell: (boot: string) => boolean;
};

export function makeFleetParts({ isCalm, isTrial, isWell, world }: FleetPartsOptions): FleetParts {
  const { random, timeline, trace } = world;
  const share = (most: number): number => (isCalm || random.next() < 0.4 ? 0 : random.next() * most);
  const seldom = (most: number, usual: number): number => share(random.next() < 0.3 ? most : usual);
  const torn = share(0.1);
  const snapshots = new TearingSnapshotStore(() => isTrial() && random.next() < torn);
  const checker = new Checker(snapshots, trace, isWell);
  const clock = {
    now: () => timeline.nowMs,
    monotonicMs: () => timeline.nowMs,
    after: (delayMs: number, callback: () => void) => timeline.after(delayMs, callback),
  };
  return {
    world,
    checker,
    stores: {
      snapshots,
      directory: new ForgetfulDirectory(clock),
      registry: new ForgetfulRegistry(clock),
      leadership: new MemoryLeadership(clock),
      log: new ForgetfulLog({ onAppended: (key, events) => checker.onAppended(key, events) }),
      records: watchedRecords({
        onSession: (before, after) => checker.onSession(before, after),
        onTurn: (before, after) => checker.onTurn(before, after),
      }),
    },
    faults: {
      stores: {
        ...{ refused: share(0.05), unanswered: share(0.05), twice: share(0.05) },
        ...{ slow: seldom(0.1, 0.02), deadly: seldom(0.02, 0.004) },
        ...{ refusal: 'store_unavailable', uncertainty: 'store_unavailable' },
      },
      links: {
        ...{ refused: share(0.1), unanswered: share(0.1), twice: share(0.1), slow: share(0.1), deadly: 0 },
        ...{ refusal: 'worker_unreachable', uncertainty: 'worker_lost' },
      },
      agentCrash: share(0.2),
    },
  };
}
