// Calls of the records that fault tests make, each with what it needs and with what can be counted of its effect.

import assert from 'node:assert/strict';
import type { Records } from '../contracts/records.ts';
import { deliveryRecord, jobRecord, sessionRecord, turnRecord } from './stored-records.ts';

export type FaultParties = {
  /** Through the proxy; `fresh` has read nothing before. */
  readonly faulty: Records;
  readonly fresh: Records;
  /** Straight to the emulator. */
  readonly clean: Records;
};

export type FaultOperation = {
  readonly title: string;
  /** Makes what the call needs; answers the call, and how often its effect is there. */
  readonly prepare: (
    parties: FaultParties,
    id: string,
  ) => Promise<{
    readonly run: () => Promise<unknown>;
    readonly effects: () => Promise<number>;
    readonly isWrite: boolean;
  }>;
};

let numbers = 0;
export function newFaultId(): string {
  return `019f0000-0000-7000-8000-${String(++numbers).padStart(12, '0')}`;
}

const none = async (): Promise<number> => 0;
const read = (run: () => Promise<unknown>): Awaited<ReturnType<FaultOperation['prepare']>> => ({
  run,
  effects: none,
  isWrite: false,
});

export const faultOperations: readonly FaultOperation[] = [
  {
    title: 'sessions.create',
    prepare: async ({ clean, faulty }, id) => {
      const session = sessionRecord({ id, alias: `alias-${id}` });
      return {
        isWrite: true,
        run: async () => assert.equal((await faulty.sessions.create(session)).outcome, 'created'),
        effects: async () => {
          const [byId, byAlias] = [
            await clean.sessions.get('acme', id),
            await clean.sessions.findByAlias('acme', `alias-${id}`),
          ];
          assert.deepEqual(byAlias, byId, 'a session and its alias are there together or not at all');
          return byId?.revision ?? 0;
        },
      };
    },
  },
  ...(['faulty', 'fresh'] as const).map(
    (party): FaultOperation => ({
      title: `sessions.replace, ${party === 'faulty' ? 'known' : 'not read before'}`,
      prepare: async (parties, id) => {
        const session = sessionRecord({ id });
        await parties[party === 'faulty' ? 'faulty' : 'clean'].sessions.create(session);
        return {
          isWrite: true,
          run: async () =>
            assert.equal((await parties[party].sessions.replace({ ...session, title: 'new' }))?.revision, 2),
          effects: async () => ((await parties.clean.sessions.get('acme', id))?.revision ?? Number.NaN) - 1,
        };
      },
    }),
  ),
  {
    title: 'commit',
    prepare: async ({ clean, faulty }, id) => {
      const session = sessionRecord({ id });
      const turn = turnRecord({ id, sessionId: id });
      await faulty.sessions.create(session);
      await faulty.turns.create(turn);
      return {
        isWrite: true,
        run: async () => assert.equal((await faulty.commit({ ...session, title: 'new' }, turn))?.session.revision, 2),
        effects: async () => {
          const [ofSession, ofTurn] = [await clean.sessions.get('acme', id), await clean.turns.get('acme', id)];
          assert.equal(ofTurn?.revision, ofSession?.revision, 'both or neither');
          return (ofSession?.revision ?? Number.NaN) - 1;
        },
      };
    },
  },
  {
    title: 'turns.create, of more than a document holds',
    prepare: async ({ clean, faulty }, id) => {
      const turn = turnRecord({ id, sessionId: id, prompt: 'é'.repeat(600_000) });
      return {
        isWrite: true,
        run: async () => assert.equal((await faulty.turns.create(turn)).outcome, 'created'),
        effects: async () => {
          const found = await clean.turns.get('acme', id);
          if (found !== null) assert.deepEqual(found, turn);
          return found?.revision ?? 0;
        },
      };
    },
  },
  {
    title: 'jobs.erase',
    prepare: async ({ clean, faulty }, id) => {
      await clean.jobs.create(jobRecord({ id }));
      return {
        isWrite: true,
        run: () => faulty.jobs.erase('acme', id),
        effects: async () => ((await clean.jobs.get('acme', id)) === null ? 1 : 0),
      };
    },
  },
  {
    title: 'sessions.erase',
    prepare: async ({ clean, faulty }, id) => {
      await clean.sessions.create(sessionRecord({ id, alias: `alias-${id}` }));
      await clean.turns.create(turnRecord({ id, sessionId: id }));
      return {
        isWrite: true,
        run: () => faulty.sessions.erase('acme', id),
        effects: async () => {
          const session = await clean.sessions.get('acme', id);
          if (session === null) assert.equal(await clean.turns.get('acme', id), null, 'the session goes last');
          return session === null ? 1 : 0;
        },
      };
    },
  },
  { title: 'sessions.get', prepare: async ({ faulty }, id) => read(() => faulty.sessions.get('acme', id)) },
  {
    title: 'sessions.findByAlias',
    prepare: async ({ faulty }, id) => read(() => faulty.sessions.findByAlias('acme', id)),
  },
  {
    title: 'turns.list',
    prepare: async ({ faulty }, id) => read(() => faulty.turns.list('acme', id, { after: id, limit: 5, order: 'asc' })),
  },
  { title: 'sessions.listHeld', prepare: async ({ faulty }) => read(() => faulty.sessions.listHeld(null, 1)) },
  { title: 'jobs.countOpen', prepare: async ({ faulty }) => read(() => faulty.jobs.countOpen('acme', 10)) },
  {
    title: 'deliveries.listLane',
    prepare: async ({ clean, faulty }, id) => {
      await clean.deliveries.create(deliveryRecord({ id, lane: id }));
      return read(() => faulty.deliveries.listLane('acme', id, 5));
    },
  },
];
