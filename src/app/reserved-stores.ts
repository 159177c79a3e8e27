// Stores on a disk with a reserve: what ends or goes on may use it, what begins is refused while it is
// given up. Adds nothing else to what the stores do.

import type { KeyedRecords } from '../contracts/records.ts';
import { ServiceError } from '../core/errors.ts';
import type { DiskReserve } from './disk-reserve.ts';
import type { Stores } from './stores.ts';

export function onReserve(stores: Stores, reserve: DiskReserve): Stores {
  const { log, directory, snapshots } = stores;
  const { sessions, turns, approvals, jobs, schedules, webhooks, deliveries } = stores.records;
  const guard = <T>(work: () => Promise<T>): Promise<T> => reserve.guard(work);
  /** Refused without a try: the reserve is not for this. */
  const begin = async <T>(work: () => Promise<T>): Promise<T> => {
    if (reserve.isLow) throw new ServiceError('storage_full');
    return reserve.watch(work);
  };
  const keyed = <T>(records: KeyedRecords<T>, create: typeof begin): KeyedRecords<T> => ({
    create: (record) => create(() => records.create(record)),
    get: (tenant, id) => records.get(tenant, id),
    replace: (next) => guard(() => records.replace(next)),
    erase: (tenant, id) => guard(() => records.erase(tenant, id)),
  });
  return {
    ...stores,
    log: {
      open: (key, epoch, sealedSeq) => guard(() => log.open(key, epoch, sealedSeq)),
      append: (key, epoch, events) => guard(() => log.append(key, epoch, events)),
      read: (key, afterSeq, limit) => log.read(key, afterSeq, limit),
      subscribe: (key, listener) => log.subscribe(key, listener),
      erase: (key) => guard(() => log.erase(key)),
    },
    directory: {
      claim: (lease, ttlMs) => guard(() => directory.claim(lease, ttlMs)),
      renew: (lease, ttlMs) => guard(() => directory.renew(lease, ttlMs)),
      release: (lease) => guard(() => directory.release(lease)),
      lookup: (tenant, sessionId) => directory.lookup(tenant, sessionId),
      knownForMs: () => directory.knownForMs(),
    },
    records: {
      sessions: {
        create: (record) => begin(() => sessions.create(record)),
        get: (tenant, id) => sessions.get(tenant, id),
        findByAlias: (tenant, alias) => sessions.findByAlias(tenant, alias),
        replace: (next) => guard(() => sessions.replace(next)),
        list: (tenant, query) => sessions.list(tenant, query),
        listHeld: (after, limit) => sessions.listHeld(after, limit),
        listUnused: (beforeMs, after, limit) => sessions.listUnused(beforeMs, after, limit),
        erase: (tenant, id) => guard(() => sessions.erase(tenant, id)),
      },
      turns: {
        // One that goes on with another was promised when that was accepted.
        create: (record) => (record.continues === null ? begin : guard)(() => turns.create(record)),
        get: (tenant, id) => turns.get(tenant, id),
        replace: (next) => guard(() => turns.replace(next)),
        list: (tenant, sessionId, query) => turns.list(tenant, sessionId, query),
        listOpenOf: (tenant, sessionId, query) => turns.listOpenOf(tenant, sessionId, query),
        listOpen: (after, limit) => turns.listOpen(after, limit),
        erase: (tenant, id) => guard(() => turns.erase(tenant, id)),
      },
      approvals: {
        create: (record) => guard(() => approvals.create(record)),
        get: (tenant, id) => approvals.get(tenant, id),
        replace: (next) => guard(() => approvals.replace(next)),
        list: (tenant, filter, query) => approvals.list(tenant, filter, query),
        listDue: (beforeMs, after, limit) => approvals.listDue(beforeMs, after, limit),
      },
      jobs: {
        ...keyed(jobs, begin),
        list: (tenant, filter, query) => jobs.list(tenant, filter, query),
        countOpen: (tenant, most) => jobs.countOpen(tenant, most),
        listDue: (beforeMs, after, limit) => jobs.listDue(beforeMs, after, limit),
        listRunning: (after, limit) => jobs.listRunning(after, limit),
        listEnded: (beforeMs, after, limit) => jobs.listEnded(beforeMs, after, limit),
      },
      schedules: {
        ...keyed(schedules, begin),
        list: (tenant, query) => schedules.list(tenant, query),
        listDue: (beforeMs, after, limit) => schedules.listDue(beforeMs, after, limit),
      },
      webhooks: {
        ...keyed(webhooks, begin),
        list: (tenant, query) => webhooks.list(tenant, query),
      },
      deliveries: {
        // They tell of what has happened already.
        ...keyed(deliveries, guard),
        list: (tenant, filter, query) => deliveries.list(tenant, filter, query),
        eraseOf: (tenant, of) => guard(() => deliveries.eraseOf(tenant, of)),
        listLane: (tenant, lane, limit) => deliveries.listLane(tenant, lane, limit),
        listDue: (beforeMs, after, limit) => deliveries.listDue(beforeMs, after, limit),
        listEnded: (beforeMs, after, limit) => deliveries.listEnded(beforeMs, after, limit),
      },
      commit: (session, turn) => guard(() => stores.records.commit(session, turn)),
    },
    snapshots: {
      // Its content can be read once: the caller tries again, or ends the turn as one that was not kept.
      put: (key, name, content) => reserve.watch(() => snapshots.put(key, name, content)),
      read: (key, name, range) => snapshots.read(key, name, range),
      list: (key) => snapshots.list(key),
      remove: (key, names) => snapshots.remove(key, names),
      erase: (key) => snapshots.erase(key),
      sessions: () => snapshots.sessions(),
    },
  };
}
