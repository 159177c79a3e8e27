// What every store of tickets must do (contracts/ticket-store.ts), tried.

import assert from 'node:assert/strict';
import type { TicketHolder, TicketLimits, TicketStore } from '../../contracts/ticket-store.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

export type TimedTickets = {
  readonly tickets: TicketStore;
  passTime(ms: number): Promise<void>;
};

const tester: TicketHolder = { tenant: 'acme', name: 'tester' };
const stranger: TicketHolder = { tenant: 'other', name: '{acme}' };
const limits: TicketLimits = { ttlMs: 1_000, perTenant: 3 };

export const ticketStoreChecks: readonly ContractCheck<TimedTickets>[] = [
  {
    title: 'a ticket is taken once, by one of many who try at once, and says who it was made for',
    async run({ tickets }) {
      await tickets.put('one', tester, limits);
      await tickets.put('two', stranger, limits);
      const taken = await Promise.all(Array.from({ length: 10 }, () => tickets.take('one')));
      assert.deepEqual(
        taken.filter((holder) => holder !== null),
        [tester],
      );
      assert.equal(await tickets.take('one'), null);
      assert.deepEqual(await tickets.take('two'), stranger);
    },
  },
  {
    title: 'one that was never made is nobody, and a name of the store itself is none',
    async run({ tickets }) {
      for (const hash of ['nothing', '', '*', '__proto__']) assert.equal(await tickets.take(hash), null);
    },
  },
  {
    title: 'a ticket that is too old is nobody',
    async run({ tickets, passTime }) {
      await tickets.put('one', tester, limits);
      await passTime(limits.ttlMs);
      assert.equal(await tickets.take('one'), null);
    },
  },
  {
    title: "beyond the limit a tenant's oldest tickets give way, and no other tenant's",
    async run({ tickets }) {
      await tickets.put('foreign', stranger, limits);
      for (const hash of ['one', 'two', 'three', 'four', 'five']) await tickets.put(hash, tester, limits);
      const taken = await Promise.all(['one', 'two', 'three', 'four', 'five'].map((hash) => tickets.take(hash)));
      assert.deepEqual(taken, [null, null, tester, tester, tester]);
      assert.deepEqual(await tickets.take('foreign'), stranger);
    },
  },
  {
    title: 'tickets that were used do not count',
    async run({ tickets }) {
      await tickets.put('kept', tester, limits);
      for (let round = 0; round < limits.perTenant * 2; round += 1) {
        await tickets.put(`used-${round}`, tester, limits);
        assert.deepEqual(await tickets.take(`used-${round}`), tester);
      }
      assert.deepEqual(await tickets.take('kept'), tester);
    },
  },
];

export function ticketStoreSuite(adapterName: string, open: () => Promise<Subject<TimedTickets>>): void {
  describeContract(`${adapterName} keeps the promises of a ticket store`, ticketStoreChecks, open);
}
