// What every leadership must do (contracts/leadership.ts), tried.

import assert from 'node:assert/strict';
import type { Leadership } from '../../contracts/leadership.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

export type TimedLeadership = {
  readonly leadership: Leadership;
  passTime(ms: number): Promise<void>;
};

const ttlMs = 1_000;

export const leadershipChecks: readonly ContractCheck<TimedLeadership>[] = [
  {
    title: 'of many that ask at once one leads, and goes on leading as long as it asks',
    async run({ leadership, passTime }) {
      const holders = Array.from({ length: 10 }, (_, index) => `manager-${index}`);
      const answers = await Promise.all(holders.map((holder) => leadership.hold(holder, ttlMs)));
      const leaders = holders.filter((_, index) => answers[index] === true);
      assert.equal(leaders.length, 1);
      const [leader = '', other = ''] = [leaders[0], holders.find((holder) => holder !== leaders[0])];
      for (let round = 0; round < 3; round += 1) {
        await passTime(ttlMs * 0.6);
        assert.equal(await leadership.hold(leader, ttlMs), true);
        assert.equal(await leadership.hold(other, ttlMs), false);
      }
    },
  },
  {
    title: 'who does not ask again has led, and may lead again when nobody does',
    async run({ leadership, passTime }) {
      await leadership.hold('one', ttlMs);
      await passTime(ttlMs * 1.1);
      assert.equal(await leadership.hold('two', ttlMs), true);
      assert.equal(await leadership.hold('one', ttlMs), false);
      await passTime(ttlMs * 1.1);
      assert.equal(await leadership.hold('one', ttlMs), true);
    },
  },
  {
    title: 'a leader that resigns makes room at once, and nobody can resign for it',
    async run({ leadership }) {
      await leadership.hold('one', ttlMs);
      await leadership.resign('two');
      assert.equal(await leadership.hold('two', ttlMs), false);
      await leadership.resign('one');
      await leadership.resign('one');
      assert.equal(await leadership.hold('two', ttlMs), true);
    },
  },
];

export function leadershipSuite(adapterName: string, open: () => Promise<Subject<TimedLeadership>>): void {
  describeContract(`${adapterName} keeps the promises of leadership`, leadershipChecks, open);
}
