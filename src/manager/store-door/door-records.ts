// What each call of the store door that speaks JSON does. The form of what is asked was looked at by then.

import { pageBytes, type StoreAsked, type StoreCall } from '../../api/store-wire.ts';
import type { Outbox } from '../../contracts/outbox.ts';
import type { Page, PageQuery, Records } from '../../contracts/records.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { ApprovalRecord } from '../../core/approval.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { TurnRecord } from '../../core/turn.ts';
import type { Notice } from '../../core/webhook.ts';
import type { DoorOperation } from '../../observability/store-door-metrics.ts';
import { assertMayEraseObjects, assertMayEraseRecord, assertNew, assertOfOnePrompt } from './door-rules.ts';

export type DoorStores = {
  readonly records: Pick<Records, 'sessions' | 'turns' | 'approvals' | 'commit'>;
  readonly snapshots: SnapshotStore;
  /** Writes the deliveries of what a worker tells: it need not see who is told, nor by which secret. */
  readonly outbox: Outbox;
  /** Of the records and snapshots: what tells one fleet's from another's. */
  readonly truth: string;
  readonly fleetVersion: string;
};

/** The answer as JSON text, and whether a condition of the call did not hold. */
export type DoorAnswer = { readonly text: string; readonly isConflict: boolean };
export type DoorHandlers = { readonly [C in StoreCall]: (asked: StoreAsked<C>) => Promise<DoorAnswer> };

export const operationOf: Readonly<Record<StoreCall, DoorOperation>> = {
  describe: 'read',
  'sessions.create': 'write',
  'sessions.get': 'read',
  'sessions.replace': 'write',
  'sessions.erase': 'write',
  'turns.create': 'write',
  'turns.get': 'read',
  'turns.replace': 'write',
  'turns.list-open-of': 'list',
  'approvals.create': 'write',
  'approvals.get': 'read',
  'approvals.replace': 'write',
  'approvals.list': 'list',
  commit: 'commit',
  tell: 'tell',
  'objects.list': 'object_names',
  'objects.remove': 'object_names',
  'objects.erase': 'object_names',
};

/** So many are asked of the store at a time: a page is cut by its octets, and what was read for nothing was paid for. */
const pageStep = 20;

export function doorHandlers({ fleetVersion, outbox, records, snapshots, truth }: DoorStores): DoorHandlers {
  const { approvals, sessions, turns } = records;
  // A record has fields that this version does not know, too: what is checked has the type of the contracts.
  const session = (asked: object): SessionRecord => asked as SessionRecord;
  const turn = (asked: object): TurnRecord => asked as TurnRecord;
  const approval = (asked: object): ApprovalRecord => asked as ApprovalRecord;
  const turnsOf = async (tenant: string, id: string): Promise<number> =>
    (await turns.list(tenant, id, { after: null, limit: 2, order: 'asc' })).data.length;
  return {
    describe: async () => answer({ truth, fleetVersion }),
    'sessions.create': async ({ record }) => {
      assertOfOnePrompt(session(record));
      return created(await sessions.create(session(record)));
    },
    'sessions.get': async ({ tenant, id }) => answer({ record: await sessions.get(tenant, id) }),
    'sessions.replace': async ({ record }) => replaced(await sessions.replace(session(record))),
    'sessions.erase': async ({ tenant, id }) => {
      assertMayEraseRecord(await sessions.get(tenant, id), await turnsOf(tenant, id));
      return await sessions.erase(tenant, id).then(nothing);
    },
    'turns.create': async ({ record }) => {
      assertNew(record);
      return created(await turns.create(turn(record)));
    },
    'turns.get': async ({ tenant, id }) => answer({ record: await turns.get(tenant, id) }),
    'turns.replace': async ({ record }) => replaced(await turns.replace(turn(record))),
    'turns.list-open-of': ({ tenant, sessionId, query }) =>
      page(query, (part) => turns.listOpenOf(tenant, sessionId, part)),
    'approvals.create': async ({ record }) => {
      assertNew(record);
      return created(await approvals.create(approval(record)));
    },
    'approvals.get': async ({ tenant, id }) => answer({ record: await approvals.get(tenant, id) }),
    'approvals.replace': async ({ record }) => replaced(await approvals.replace(approval(record))),
    'approvals.list': ({ tenant, filter, query }) => page(query, (part) => approvals.list(tenant, filter, part)),
    commit: async (asked) => {
      const written = await records.commit(session(asked.session), turn(asked.turn));
      return { ...answer({ written }), isConflict: written === null };
    },
    tell: async ({ notices }) => await outbox.put(notices as readonly object[] as readonly Notice[]).then(nothing),
    'objects.list': async (key) => answer({ objects: await snapshots.list(key) }),
    'objects.remove': async ({ key, names }) => await snapshots.remove(key, names).then(nothing),
    'objects.erase': async (key) => {
      const { sessionId, tenant } = key;
      assertMayEraseObjects(await sessions.get(tenant, sessionId), await turnsOf(tenant, sessionId));
      return await snapshots.erase(key).then(nothing);
    },
  };
}

function answer(value: object): DoorAnswer {
  return { text: JSON.stringify(value), isConflict: false };
}

function nothing(): DoorAnswer {
  return { text: '{}', isConflict: false };
}

function created(result: { readonly outcome: 'created' | 'exists' }): DoorAnswer {
  return { ...answer(result), isConflict: result.outcome === 'exists' };
}

function replaced(record: object | null): DoorAnswer {
  return { ...answer({ record }), isConflict: record === null };
}

/** As many records as were asked for, or fewer where they are large. */
async function page<T extends { readonly id: string }>(
  { after, limit, order }: PageQuery,
  list: (query: PageQuery) => Promise<Page<T>>,
): Promise<DoorAnswer> {
  const texts: string[] = [];
  let bytes = 0;
  let hasMore = true;
  for (let from = after; hasMore && texts.length < limit && bytes < pageBytes; ) {
    const part = await list({ after: from, limit: Math.min(pageStep, limit - texts.length), order });
    hasMore = part.hasMore;
    for (const record of part.data) {
      if (bytes >= pageBytes) {
        hasMore = true;
        break;
      }
      const text = JSON.stringify(record);
      texts.push(text);
      bytes += text.length;
      from = record.id;
    }
    if (part.data.length === 0) break;
  }
  return { text: `{"data":[${texts.join(',')}],"hasMore":${hasMore}}`, isConflict: false };
}
