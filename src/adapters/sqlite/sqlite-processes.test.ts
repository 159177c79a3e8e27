// Several processes on one file, and processes killed at any moment. This file is also what the child
// processes run: they say on standard output what was acknowledged to them.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LogKey } from '../../contracts/event-log.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { PushedEvents } from '../../testing/contract-suites/pushed-events.ts';
import { storedEvents } from '../../testing/stored-events.ts';
import { deliveryRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { SqliteStore } from './sqlite-store.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const contestedSeqs = 300;
const [, , role, path = '', name = ''] = process.argv;

function open(file: string): Promise<SqliteStore> {
  return SqliteStore.open({ path: file, clock: new SystemClock() });
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** Appends batches of one to seven events for ever, and says each seq that was acknowledged. */
async function writeUntilKilled(): Promise<void> {
  const store = await open(path);
  let { lastSeq } = await store.log.read(key, 0, 1);
  for (;;) {
    const events = storedEvents(key, 1, lastSeq + 1, lastSeq + 1 + (lastSeq % 7));
    const result = await store.log.append(key, 1, events);
    if (result.outcome !== 'appended') throw new Error(result.outcome);
    lastSeq = result.lastSeq;
    say(String(lastSeq));
  }
}

/** Commits for ever, the same number into the session and its turn, and says each that was acknowledged. */
async function commitUntilKilled(): Promise<void> {
  const { records } = await open(path);
  for (;;) {
    const session = await records.sessions.get('acme', sessionRecord().id);
    const turn = await records.turns.get('acme', turnRecord().id);
    const next = String(Number(session!.title) + 1);
    const committed = await records.commit({ ...session!, title: next }, { ...turn!, finalMessage: next });
    if (committed === null) throw new Error('nobody else writes here');
    say(next);
  }
}

/** Tries for every place in the log, the lease of every session, every next revision and every id; says what it won. */
async function contest(): Promise<void> {
  const store = await open(path);
  say('ready');
  await once(process.stdin, 'data');
  for (let seq = 1; seq <= contestedSeqs; seq++) {
    const [event] = storedEvents({ ...key, sessionId: `by-${name}` }, 1, seq, seq);
    const ours = { ...event!, header: { ...event!.header, sessionId: key.sessionId } };
    const { outcome } = await store.log.append(key, 1, [ours]);
    if (outcome === 'appended') say(`event ${seq}`);
    const lease = { tenant: 'acme', sessionId: `session-${seq}`, worker: name, epoch: 1 };
    if ((await store.directory.claim(lease, 60_000)) === null) say(`lease ${seq}`);
    if ((await store.records.sessions.replace(sessionRecord({ revision: seq, title: name }))) !== null)
      say(`record ${seq}`);
    const delivery = deliveryRecord({ id: `delivery-${seq}`, data: name });
    if ((await store.records.deliveries.create(delivery)).outcome === 'created') say(`delivery ${seq}`);
  }
  await store.close();
  process.exit(0);
}

function startChild(...args: string[]): { child: ChildProcess; lines: string[] } {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), ...args],
    { stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000 },
  );
  const lines: string[] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
  return { child, lines };
}

async function lineCount(child: ChildProcess, lines: string[], count: number): Promise<void> {
  while (lines.length < count) {
    assert.equal(child.exitCode, null, 'the child ended by itself');
    await once(child.stdout!, 'data');
  }
}

async function withFile(run: (file: string) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'sqlite-processes-'));
  try {
    await run(join(home, 'store.db'));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function defineTests(): void {
  test('of two processes that want the same place, lease, revision and id exactly one gets each', async () => {
    await withFile(async (file) => {
      const store = await open(file);
      await store.records.sessions.create(sessionRecord());
      const pushed = await PushedEvents.open(store.log, key);
      const contestants = ['left', 'right'].map((side) => startChild('contest', file, side));
      await Promise.all(contestants.map(({ child, lines }) => lineCount(child, lines, 1)));
      const ends = contestants.map(({ child }) => once(child, 'close'));
      for (const { child } of contestants) child.stdin!.write('go\n');
      for (const [code] of await Promise.all(ends)) assert.equal(code, 0);
      const [left, right] = contestants.map(({ lines }) => lines.slice(1));
      const wanted = ['event', 'lease', 'record', 'delivery'].flatMap((kind) =>
        Array.from({ length: contestedSeqs }, (_, index) => `${kind} ${index + 1}`),
      );
      // Every place is won once: none twice, none by nobody.
      assert.deepEqual([...left!, ...right!].sort(), wanted.sort());
      assert.ok(left!.length > 0 && right!.length > 0, 'one of them won everything: they did not meet');
      const { events } = await store.log.read(key, 0, contestedSeqs + 1);
      for (const { header, body } of events) {
        const winner = left!.includes(`event ${header.seq}`) ? 'by-left' : 'by-right';
        assert.equal(JSON.parse(body).session_id, winner);
      }
      await pushed.reached(contestedSeqs);
      pushed.close();
      assert.deepEqual(pushed.events, events);
      await store.close();
    });
  });

  test('a commit is there whole or not at all, whenever its process is killed', async () => {
    await withFile(async (file) => {
      const first = await open(file);
      await first.records.sessions.create(sessionRecord({ title: '0' }));
      await first.records.turns.create(turnRecord({ finalMessage: '0' }));
      await first.close();
      for (let round = 0; round < 8; round++) {
        const { child, lines } = startChild('commit', file);
        await lineCount(child, lines, 1 + Math.floor(Math.random() * 60));
        const closed = once(child, 'close');
        child.kill('SIGKILL');
        await closed;
        const store = await open(file);
        const { records } = store;
        const session = await records.sessions.get('acme', sessionRecord().id);
        const turn = await records.turns.get('acme', turnRecord().id);
        assert.equal(session?.title, turn?.finalMessage);
        assert.equal(session?.revision, turn?.revision);
        assert.ok(Number(session?.title) >= Number(lines.at(-1)), `${session?.title} of ${lines.at(-1)}`);
        await store.close();
      }
    });
  });

  test('a writer killed at any moment loses nothing that was acknowledged, and leaves no half of a batch', async () => {
    await withFile(async (file) => {
      let acknowledged = 0;
      for (let round = 0; round < 12; round++) {
        const { child, lines } = startChild('write', file);
        await lineCount(child, lines, 1 + Math.floor(Math.random() * 300));
        const closed = once(child, 'close');
        child.kill('SIGKILL');
        await closed;
        acknowledged = Math.max(acknowledged, Number(lines.at(-1)));
        const store = await open(file);
        const { lastSeq } = await store.log.read(key, 0, 1);
        assert.ok(lastSeq >= acknowledged, `${lastSeq} of ${acknowledged}`);
        // The one batch that was under way is there whole or not at all: sizes follow from the seq.
        let end = 0;
        while (end < lastSeq) end += 1 + (end % 7);
        assert.equal(end, lastSeq);
        for (let after = 0; after < lastSeq; after += 1_000) {
          const { events } = await store.log.read(key, after, 1_000);
          assert.deepEqual(events, storedEvents(key, 1, after + 1, Math.min(lastSeq, after + 1_000)));
        }
        await store.close();
      }
    });
  });
}

if (role === 'write') await writeUntilKilled();
else if (role === 'commit') await commitUntilKilled();
else if (role === 'contest') await contest();
else defineTests();
