// Stores that kill their process at one call of one method, before it, in its middle or behind it. They
// wrap whatever stores they are given and change nothing else.

import type { EventLog } from '../../src/contracts/event-log.ts';
import type { Records } from '../../src/contracts/records.ts';
import type { SnapshotStore } from '../../src/contracts/snapshots.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import type { CrashPlan } from './crash-plan.ts';

type CrashableStores = { readonly log: EventLog; readonly records: Records; readonly snapshots: SnapshotStore };

const diesNow = (): void => void process.kill(process.pid, 'SIGKILL');

export function crashingStores<S extends CrashableStores>(stores: S, plan: CrashPlan, die = diesNow): S {
  let left = plan.nth;
  const isDue = (): boolean => (left -= 1) === 0;

  async function around<T>(isPoint: boolean, call: () => Promise<T>): Promise<T> {
    const isNow = isPoint && isDue();
    if (isNow && plan.when === 'before') die();
    const result = await call();
    if (isNow && plan.when === 'after') die();
    return result;
  }

  const { log, records, snapshots } = stores;
  const { point } = plan;
  const dyingLog = overriding(log, {
    append: (key, epoch, events) => {
      const isEnd = events.some(({ header }) => isTerminalEventType(header.type));
      return around(point === 'log.append terminal' && isEnd, () => log.append(key, epoch, events));
    },
  });
  const sessions = overriding(records.sessions, {
    replace: (next) => around(point === 'sessions.replace', () => records.sessions.replace(next)),
  });
  const turns = overriding(records.turns, {
    create: (turn) => around(point === 'turns.create', () => records.turns.create(turn)),
    replace: (next) => around(point === 'turns.replace', () => records.turns.replace(next)),
  });
  const dyingRecords = overriding(records, {
    sessions,
    turns,
    commit: (session, turn) => around(point === 'records.commit', () => records.commit(session, turn)),
  });
  const dyingSnapshots = overriding(snapshots, {
    put: (key, name, content) => {
      const isMidway = point === 'snapshots.put' && plan.when === 'midway';
      if (isMidway && isDue()) return snapshots.put(key, name, dyingMidway(content, die));
      return around(point === 'snapshots.put' && !isMidway, () => snapshots.put(key, name, content));
    },
  });
  return { ...stores, log: dyingLog, records: dyingRecords, snapshots: dyingSnapshots };
}

/** Half of the first piece reaches the store, then the process is gone. */
async function* dyingMidway(
  content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  die: () => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of content) {
    yield piece.subarray(0, Math.ceil(piece.length / 2));
    // The store has asked for more: what it was given is written.
    die();
    yield piece.subarray(Math.ceil(piece.length / 2));
  }
}

/** The same object but for some of its members; methods keep their own `this`. */
function overriding<T extends object>(target: T, members: Partial<T>): T {
  return new Proxy(target, {
    get: (_, name) => {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
