// How a process of a simulated world reads the log: pushes that take their time, and what the log does not
// have any more out of the snapshot that the record names.

import type { EventLog } from '../../contracts/event-log.ts';
import type { Records } from '../../contracts/records.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { CallFaults, SimulatedProcess, World } from './simulated-process.ts';
import { decodeSnapshot } from './simulated-snapshots.ts';

const mostPushDelayMs = 30;

type SealedParts = { readonly records: Records; readonly snapshots: SnapshotStore };

/** Pushes take time of their own, keep their order, and now and then one gets lost. */
export function reachLog(world: World, process: SimulatedProcess, log: EventLog, faults: CallFaults): EventLog {
  const subscribe: EventLog['subscribe'] = (key, listener) => {
    let lastMs = 0;
    let isActive = true;
    return process.call('log.subscribe', { ...faults, twice: 0, unanswered: 0, deadly: 0 }, async () => {
      const end = await log.subscribe(key, (events) => {
        if (world.random.next() < faults.refused) return;
        lastMs = Math.max(lastMs, world.timeline.nowMs + world.random.next() * mostPushDelayMs) + 1e-6;
        world.timeline.after(lastMs - world.timeline.nowMs, () => process.deliver(() => isActive && listener(events)));
      });
      return () => {
        isActive = false;
        end();
      };
    });
  };
  const reached = process.reach(log, 'log', faults);
  return {
    open: (...args) => reached.open(...args),
    append: (...args) => reached.append(...args),
    read: (...args) => reached.read(...args),
    erase: (...args) => reached.erase(...args),
    subscribe,
  };
}

/** What the log does not have is read from the snapshot that the record names. */
export function withSealed({ records, snapshots }: SealedParts, log: EventLog): EventLog {
  const read: EventLog['read'] = async (key, afterSeq, limit) => {
    const page = await log.read(key, afterSeq, limit);
    if (page.events[0]?.header.seq === afterSeq + 1) return page;
    const session = await records.sessions.get(key.tenant, key.sessionId);
    if (session === null || session.snapshot === null || session.snapshot.lastSeq <= afterSeq) return page;
    const { events } = decodeSnapshot(await snapshots.read(key, session.snapshot.object));
    const sealed = events.filter(({ header }) => header.seq > afterSeq).slice(0, limit);
    return { events: sealed, firstSeq: 1, lastSeq: Math.max(page.lastSeq, session.snapshot.lastSeq) };
  };
  return {
    read,
    open: (...args) => log.open(...args),
    append: (...args) => log.append(...args),
    erase: (...args) => log.erase(...args),
    subscribe: (...args) => log.subscribe(...args),
  };
}
