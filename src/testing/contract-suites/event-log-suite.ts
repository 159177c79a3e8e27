// What every event log must do (contracts/event-log.ts), tried.

import assert from 'node:assert/strict';
import type { EventLog, LogKey } from '../../contracts/event-log.ts';
import type { StoredEvent } from '../../core/event.ts';
import { storedEvent, storedEvents } from '../stored-events.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';
import { PushedEvents } from './pushed-events.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const sameIdOfOther: LogKey = { tenant: 'other', sessionId: key.sessionId };

/** A log as its first writer leaves it before it writes. */
async function openedLog(log: EventLog, of: LogKey, epoch = 1): Promise<void> {
  assert.deepEqual(await log.open(of, epoch, 0), { outcome: 'opened', lastSeq: 0 });
}

async function allEvents(log: EventLog, of: LogKey): Promise<readonly StoredEvent[]> {
  return (await log.read(of, 0, 1_000)).events;
}

export const eventLogChecks: readonly ContractCheck<EventLog>[] = [
  {
    title: 'a session never written has an empty page',
    async run(log) {
      assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 0, lastSeq: 0 });
    },
  },
  {
    title: 'what was appended is read back whole and in order',
    async run(log) {
      await openedLog(log, key);
      const events = [
        storedEvent({ key, epoch: 1, seq: 1, text: 'é \u2028 \u0000 "quoted"\n', raw: '{"method":"x"}' }),
        storedEvent({ key, epoch: 1, seq: 2, raw: '' }),
        storedEvent({ key, epoch: 1, seq: 3, text: 'x'.repeat(300_000) }),
      ];
      assert.deepEqual(await log.append(key, 1, events.slice(0, 1)), { outcome: 'appended', lastSeq: 1 });
      assert.deepEqual(await log.append(key, 1, events.slice(1)), { outcome: 'appended', lastSeq: 3 });
      assert.deepEqual(await log.read(key, 0, 10), { events, firstSeq: 1, lastSeq: 3 });
    },
  },
  {
    title: 'pages start behind a seq, hold at most the limit, and say where the log ends',
    async run(log) {
      await openedLog(log, key);
      const events = storedEvents(key, 1, 1, 25);
      await log.append(key, 1, events);
      const page = async (after: number, limit: number): Promise<number[]> => {
        const { events: found, firstSeq, lastSeq } = await log.read(key, after, limit);
        assert.deepEqual([firstSeq, lastSeq], [1, 25]);
        return found.map((event) => event.header.seq);
      };
      assert.deepEqual(await page(0, 3), [1, 2, 3]);
      assert.deepEqual(await page(10, 2), [11, 12]);
      assert.deepEqual(await page(23, 10), [24, 25]);
      assert.deepEqual(await page(24, 1), [25]);
      assert.deepEqual(await page(25, 10), []);
      assert.deepEqual(await page(1_000, 10), []);
    },
  },
  {
    title: 'a writer of an earlier epoch is refused, told the later one, and writes nothing',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      await log.append(key, 3, storedEvents(key, 3, 3, 3));
      const stale = await log.append(key, 2, storedEvents(key, 2, 4, 4));
      assert.deepEqual(stale, { outcome: 'stale_epoch', epoch: 3 });
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 2)), { outcome: 'stale_epoch', epoch: 3 });
      assert.equal((await log.read(key, 0, 10)).lastSeq, 3);
    },
  },
  {
    title: 'a later epoch fences the earlier one even when its own append is refused',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      assert.deepEqual(await log.append(key, 2, storedEvents(key, 2, 9, 9)), { outcome: 'out_of_order', lastSeq: 2 });
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 3, 3)), { outcome: 'stale_epoch', epoch: 2 });
    },
  },
  {
    title: 'seqs go on across epochs',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      assert.deepEqual(await log.append(key, 2, storedEvents(key, 2, 1, 1)), { outcome: 'out_of_order', lastSeq: 2 });
      assert.deepEqual(await log.append(key, 2, storedEvents(key, 2, 3, 4)), { outcome: 'appended', lastSeq: 4 });
    },
  },
  {
    title: 'a batch that leaves a gap is refused and nothing of it is written',
    async run(log) {
      await openedLog(log, key);
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 2, 3)), { outcome: 'out_of_order', lastSeq: 0 });
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 4, 6)), { outcome: 'out_of_order', lastSeq: 2 });
      assert.deepEqual(await allEvents(log, key), storedEvents(key, 1, 1, 2));
    },
  },
  {
    title: 'repeating a written batch answers appended and writes nothing',
    async run(log) {
      await openedLog(log, key);
      const events = storedEvents(key, 1, 1, 4);
      await log.append(key, 1, events.slice(0, 2));
      await log.append(key, 1, events.slice(2));
      assert.deepEqual(await log.append(key, 1, events.slice(2)), { outcome: 'appended', lastSeq: 4 });
      assert.equal((await log.append(key, 1, events.slice(0, 2))).outcome, 'appended');
      assert.deepEqual(await allEvents(log, key), events);
    },
  },
  {
    title: 'a batch that begins with written events writes only what follows them',
    async run(log) {
      await openedLog(log, key);
      const events = storedEvents(key, 1, 1, 6);
      await log.append(key, 1, events.slice(0, 4));
      assert.deepEqual(await log.append(key, 1, events.slice(2)), { outcome: 'appended', lastSeq: 6 });
      assert.deepEqual(await allEvents(log, key), events);
    },
  },
  {
    title: 'another event in a written place is refused, alone or before new ones',
    async run(log) {
      await openedLog(log, key);
      const events = storedEvents(key, 1, 1, 3);
      await log.append(key, 1, events);
      const other = storedEvent({ key, epoch: 1, seq: 3, text: 'another' });
      assert.deepEqual(await log.append(key, 1, [other]), { outcome: 'out_of_order', lastSeq: 3 });
      const goingOn = [other, storedEvent({ key, epoch: 1, seq: 4 })];
      assert.deepEqual(await log.append(key, 1, goingOn), { outcome: 'out_of_order', lastSeq: 3 });
      assert.deepEqual(await allEvents(log, key), events);
    },
  },
  {
    title: 'of two writers of the same place one is refused',
    async run(log) {
      await openedLog(log, key);
      const bySeat = ['left', 'right'].map((text) => [storedEvent({ key, epoch: 1, seq: 1, text })]);
      const results = await Promise.all(bySeat.map((events) => log.append(key, 1, events)));
      assert.deepEqual(results.map((result) => result.outcome).sort(), ['appended', 'out_of_order']);
      const winner = bySeat[results.findIndex((result) => result.outcome === 'appended')];
      assert.deepEqual(await allEvents(log, key), winner);
    },
  },
  {
    title: "two tenants' sessions of the same id never meet",
    async run(log) {
      await openedLog(log, key);
      await openedLog(log, sameIdOfOther, 5);
      const pushed = await PushedEvents.open(log, key);
      await log.append(sameIdOfOther, 5, storedEvents(sameIdOfOther, 5, 1, 3));
      assert.equal((await log.read(key, 0, 10)).lastSeq, 0);
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 1)), { outcome: 'appended', lastSeq: 1 });
      await pushed.reached(1);
      pushed.close();
      assert.deepEqual(pushed.events, storedEvents(key, 1, 1, 1));
      await log.erase(sameIdOfOther);
      assert.equal((await log.read(key, 0, 10)).lastSeq, 1);
    },
  },
  {
    title: 'a subscriber is given what is appended after it subscribed, once and in order',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 3));
      const pushed = await PushedEvents.open(log, key);
      const events = storedEvents(key, 1, 4, 40);
      for (let start = 0; start < events.length; start += 5) {
        const batch = events.slice(start, start + 5);
        await log.append(key, 1, batch);
        // As after a call that timed out: what was written is not pushed again.
        if (start % 10 === 0) await log.append(key, 1, batch);
      }
      await pushed.reached(40);
      pushed.close();
      // Batches may be skipped on the way, so the subscriber is held to order and reading fills the rest.
      const inOrder = [...new Set(pushed.seqs)].sort((a, b) => a - b);
      assert.deepEqual(pushed.seqs, inOrder);
      assert.ok(pushed.seqs.every((seq) => seq >= 4));
      for (const event of pushed.events) assert.deepEqual(event, events[event.header.seq - 4]);
      assert.deepEqual((await log.read(key, 3, 100)).events, events);
    },
  },
  {
    title: 'all subscribers are given the same, and one that left is given nothing more',
    async run(log) {
      await openedLog(log, key);
      const [stays, leaves] = [await PushedEvents.open(log, key), await PushedEvents.open(log, key)];
      await log.append(key, 1, storedEvents(key, 1, 1, 1));
      await Promise.all([stays.reached(1), leaves.reached(1)]);
      leaves.close();
      leaves.close();
      await log.append(key, 1, storedEvents(key, 1, 2, 2));
      await stays.reached(2);
      stays.close();
      assert.deepEqual([stays.seqs, leaves.seqs], [[1, 2], [1]]);
    },
  },
  {
    title: 'what was refused is pushed to nobody',
    async run(log) {
      await openedLog(log, key);
      const pushed = await PushedEvents.open(log, key);
      await log.append(key, 2, storedEvents(key, 2, 1, 1));
      await log.append(key, 1, storedEvents(key, 1, 2, 2));
      await log.append(key, 2, storedEvents(key, 2, 7, 8));
      await log.append(key, 2, storedEvents(key, 2, 2, 2));
      await pushed.reached(2);
      pushed.close();
      assert.deepEqual(pushed.events, storedEvents(key, 2, 1, 2));
    },
  },
  {
    title: 'an erased session is empty, and starts again at seq 1 and any epoch',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 4, storedEvents(key, 4, 1, 3));
      await log.erase(key);
      await log.erase(key);
      assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 0, lastSeq: 0 });
      await openedLog(log, key);
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 1)), { outcome: 'appended', lastSeq: 1 });
    },
  },
  {
    title: 'a subscriber that saw a session erased is given what begins after it',
    async run(log) {
      await openedLog(log, key);
      const pushed = await PushedEvents.open(log, key);
      await log.append(key, 4, storedEvents(key, 4, 1, 3));
      await pushed.reached(3);
      await log.erase(key);
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 4));
      await pushed.reached(4);
      pushed.close();
      assert.deepEqual(pushed.events.slice(3), storedEvents(key, 1, 1, 4));
    },
  },
  {
    title: 'opening changes nothing for who writes already, also twice, and says where the log ends',
    async run(log) {
      await openedLog(log, key);
      assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 0, lastSeq: 0 });
      await log.append(key, 1, storedEvents(key, 1, 1, 3));
      const opened = { outcome: 'opened', lastSeq: 3 };
      assert.deepEqual(
        [await log.open(key, 1, 0), await log.open(key, 1, 2), await log.open(key, 1, 3)],
        [opened, opened, opened],
      );
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 3, 4)), { outcome: 'appended', lastSeq: 4 });
      assert.deepEqual(await log.read(key, 0, 10), { events: storedEvents(key, 1, 1, 4), firstSeq: 1, lastSeq: 4 });
    },
  },
  {
    title: 'who opens a log shuts earlier writers out at once, and is refused when it is the earlier one',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      assert.deepEqual(await log.open(key, 3, 0), { outcome: 'opened', lastSeq: 2 });
      const stale = { outcome: 'stale_epoch', epoch: 3 };
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 3, 3)), stale);
      assert.deepEqual([await log.open(key, 2, 0), await log.open(key, 2, 50)], [stale, stale]);
      assert.deepEqual(await allEvents(log, key), storedEvents(key, 1, 1, 2));
      assert.deepEqual(await log.append(key, 3, storedEvents(key, 3, 3, 3)), { outcome: 'appended', lastSeq: 3 });
    },
  },
  {
    title: 'a log that holds less than is sealed goes on behind that, without a hole',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 5));
      assert.deepEqual(await log.open(key, 2, 8), { outcome: 'opened', lastSeq: 8 });
      assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 9, lastSeq: 8 });
      assert.deepEqual(await log.append(key, 2, storedEvents(key, 2, 6, 6)), { outcome: 'out_of_order', lastSeq: 8 });
      assert.deepEqual(await log.open(key, 2, 0), { outcome: 'opened', lastSeq: 8 });
      assert.deepEqual(await log.append(key, 2, storedEvents(key, 2, 9, 10)), { outcome: 'appended', lastSeq: 10 });
      assert.deepEqual(await log.read(key, 0, 10), { events: storedEvents(key, 2, 9, 10), firstSeq: 9, lastSeq: 10 });
      assert.deepEqual((await log.read(key, 9, 10)).events, storedEvents(key, 2, 10, 10));
    },
  },
  {
    title: 'a subscriber is given what a log goes on with behind what is sealed',
    async run(log) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      const pushed = await PushedEvents.open(log, key);
      await log.open(key, 2, 6);
      await log.append(key, 2, storedEvents(key, 2, 7, 8));
      await pushed.reached(8);
      pushed.close();
      assert.deepEqual(pushed.events, storedEvents(key, 2, 7, 8));
    },
  },
];

/** A log that can lose what it holds, and a way to make it. */
export type LosingLog = { readonly log: EventLog; readonly lose: () => Promise<void> };

/** For logs that may lose: what a loss looks like to writers, readers and subscribers. */
export const losingLogChecks: readonly ContractCheck<LosingLog>[] = [
  {
    title: 'a log that was never opened takes nothing',
    async run({ log }) {
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 1)), { outcome: 'log_lost' });
      assert.deepEqual(await log.read(key, 0, 10), { events: [], firstSeq: 0, lastSeq: 0 });
    },
  },
  {
    title: 'an erased log takes nothing until it is opened again',
    async run({ log }) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      await log.erase(key);
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 3, 3)), { outcome: 'log_lost' });
    },
  },
  {
    title: 'a log that was lost takes nothing from anyone until it is opened, and then goes on behind what is sealed',
    async run({ log, lose }) {
      await openedLog(log, key);
      await log.append(key, 1, storedEvents(key, 1, 1, 5));
      await lose();
      for (const epoch of [1, 2]) {
        assert.deepEqual(await log.append(key, epoch, storedEvents(key, epoch, 6, 6)), { outcome: 'log_lost' });
      }
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 1, 5)), { outcome: 'log_lost' });
      const opened = await log.open(key, 2, 3);
      assert.ok(opened.outcome === 'opened' && [3, 5].includes(opened.lastSeq), JSON.stringify(opened));
      const next = opened.lastSeq + 1;
      assert.equal((await log.append(key, 2, storedEvents(key, 2, next, 7))).outcome, 'appended');
      assert.deepEqual((await log.read(key, opened.lastSeq, 10)).events, storedEvents(key, 2, next, 7));
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 8, 8)), { outcome: 'stale_epoch', epoch: 2 });
    },
  },
  {
    title: 'a writer of a later epoch brings back what an earlier one had written, once, and goes on',
    async run({ log, lose }) {
      await openedLog(log, key);
      const before = storedEvents(key, 1, 1, 5);
      await log.append(key, 1, before);
      await log.open(key, 2, 3);
      await lose();
      const opened = await log.open(key, 2, 3);
      assert.ok(opened.outcome === 'opened');
      const missing = before.slice(opened.lastSeq);
      for (let times = 0; times < 2; times++)
        assert.deepEqual(await log.append(key, 2, missing), { outcome: 'appended', lastSeq: 5 });
      assert.equal((await log.append(key, 2, storedEvents(key, 2, 6, 6))).outcome, 'appended');
      assert.deepEqual((await log.read(key, 3, 10)).events, [...before.slice(3), ...storedEvents(key, 2, 6, 6)]);
      assert.deepEqual(await log.append(key, 1, storedEvents(key, 1, 7, 7)), { outcome: 'stale_epoch', epoch: 2 });
    },
  },
  {
    title: 'a writer that repeats what it had written before a loss leaves no hole and doubles nothing',
    async run({ log, lose }) {
      await openedLog(log, key);
      const events = storedEvents(key, 1, 1, 8);
      await log.append(key, 1, events.slice(0, 5));
      await lose();
      assert.equal((await log.open(key, 1, 2)).outcome, 'opened');
      assert.deepEqual(await log.append(key, 1, events.slice(2)), { outcome: 'appended', lastSeq: 8 });
      assert.deepEqual((await log.read(key, 2, 10)).events, events.slice(2));
    },
  },
  {
    title: 'a subscriber is given what follows a loss, also where it goes on at an earlier place, and nothing twice',
    async run({ log, lose }) {
      await openedLog(log, key);
      const pushed = await PushedEvents.open(log, key);
      const events = storedEvents(key, 1, 1, 6);
      await log.append(key, 1, events);
      await pushed.reached(6);
      await lose();
      await log.open(key, 1, 3);
      await log.append(key, 1, [...events.slice(3), ...storedEvents(key, 1, 7, 7)]);
      await pushed.reached(7);
      await lose();
      const opened = await log.open(key, 2, 4);
      assert.ok(opened.outcome === 'opened');
      await log.append(key, 2, storedEvents(key, 2, opened.lastSeq + 1, 9));
      await pushed.reached(9);
      pushed.close();
      const epochs = pushed.events.map(({ header }) => `${header.epoch}.${header.seq}`);
      assert.equal(new Set(epochs).size, epochs.length, epochs.join(' '));
      const later = pushed.events.filter(({ header }) => header.epoch === 2);
      assert.deepEqual(later, storedEvents(key, 2, opened.lastSeq + 1, 9));
    },
  },
];

export function eventLogSuite(adapterName: string, open: () => Promise<Subject<EventLog>>): void {
  describeContract(`${adapterName} keeps the promises of an event log`, eventLogChecks, open);
}

export function losingLogSuite(name: string, open: () => Promise<Subject<LosingLog>>): void {
  describeContract(`${name} and says what it lost`, losingLogChecks, open);
}
