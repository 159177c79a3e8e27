import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import type { OpenResult, AppendResult } from '../contracts/event-log.ts';
import { ServiceError } from '../core/errors.ts';
import type { StoredEvent } from '../core/event.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { storedEvents } from '../testing/stored-events.ts';
import { RetainedEvents } from './retained-events.ts';
import { SessionWriter, type SessionWriterOptions } from './session-writer.ts';

const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };

class ToldLog extends MemoryEventLog {
  readonly batches: StoredEvent[][] = [];
  answers: (AppendResult | 'away' | 'damaged' | 'hangs')[] = [];

  override async append(...args: Parameters<MemoryEventLog['append']>): Promise<AppendResult> {
    this.batches.push([...args[2]]);
    const answer = this.answers.shift();
    if (answer === 'hangs') return new Promise(() => {});
    if (answer === 'away') throw new Error('away');
    if (answer === 'damaged') throw new ServiceError('store_corrupt');
    return answer ?? (await super.append(...args));
  }
}

function writerOn(log: ToldLog, changes: Partial<SessionWriterOptions> = {}) {
  const clock = new FakeClock();
  const losses: string[] = [];
  const writer = new SessionWriter({
    log,
    key,
    epoch: 1,
    lastSeq: 0,
    sealedSeq: 0,
    retained: null,
    isStillOurs: async () => true,
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    metrics: createMetrics(),
    maxPending: 100,
    onLost: (loss) => losses.push(loss),
    ...changes,
  });
  const write = (text: string): string => writer.write({ type: 'warning', turnId: null, fields: { text }, raw: null });
  return { clock, losses, write, writer };
}

test('what is written in one tick is one batch, its cursors known at once', async () => {
  const log = new ToldLog();
  const { write, writer } = writerOn(log);
  assert.deepEqual([write('a'), write('b')], ['1.1', '1.2']);
  await writer.flushed();
  assert.deepEqual(
    log.batches.map((batch) => batch.length),
    [2],
  );
  assert.equal((await log.read(key, 0, 10)).lastSeq, 2);
});

test('a batch that was not answered is offered again as it was, and later events wait behind it', async () => {
  const log = new ToldLog();
  log.answers = ['away', 'hangs'];
  const { clock, write, writer } = writerOn(log);
  write('a');
  await clock.advanceAsync(10);
  write('b');
  await clock.advanceAsync(60);
  await clock.advanceAsync(10_000);
  await clock.advanceAsync(1_000);
  await writer.flushed();
  const [first, second, third] = log.batches;
  assert.deepEqual(first, second?.slice(0, 1));
  assert.deepEqual(second, third);
  assert.equal((await log.read(key, 0, 10)).lastSeq, 2);
});

test('a later epoch ends the writing: it is told once, and nothing more is offered', async () => {
  const log = new ToldLog();
  const { losses, write, writer } = writerOn(log);
  log.answers = [{ outcome: 'stale_epoch', epoch: 2 }];
  write('a');
  await writer.flushed();
  write('b');
  await writer.flushed();
  assert.deepEqual([losses, log.batches.length], [['stale_epoch'], 1]);
});

test('more than may wait for a store that is away is a loss, and not a growing heap', async () => {
  const log = new ToldLog();
  log.answers = Array.from({ length: 100 }, () => 'away' as const);
  const { losses, write, writer } = writerOn(log, { maxPending: 3 });
  for (let n = 0; n < 10; n++) write('a');
  await writer.flushed();
  assert.deepEqual(losses, ['overfull']);
  const large = writerOn(log, { maxPendingChars: 1_000 });
  large.write('x'.repeat(5_000));
  assert.deepEqual(large.losses, []);
  large.write('y');
  assert.deepEqual(large.losses, ['overfull']);
});

test('a closed writer offers nothing, and nobody waits for it', async () => {
  const log = new ToldLog();
  log.answers = ['hangs'];
  const { clock, losses, write, writer } = writerOn(log);
  write('a');
  await clock.advanceAsync(10);
  const flushed = writer.flushed();
  writer.close();
  await flushed;
  write('b');
  await clock.advanceAsync(60_000);
  assert.deepEqual([log.batches.length, losses, clock.pendingTimers], [1, [], 0]);
});

test('a burst goes out in batches of bounded size', async () => {
  const log = new ToldLog();
  const { write, writer } = writerOn(log, { maxPending: 5_000 });
  for (let n = 0; n < 2_500; n++) write('a');
  await writer.flushed();
  assert.deepEqual(
    log.batches.map((batch) => batch.length),
    [1_000, 1_000, 500],
  );
});

test('a log that is damaged is not offered the same for ever: nothing is written any more, and why is known', async () => {
  const log = new ToldLog();
  log.answers = ['damaged'];
  const { losses, write, writer } = writerOn(log);
  write('a');
  await writer.flushed();
  write('b');
  await writer.flushed();
  assert.deepEqual([log.batches.length, writer.isClosed, writer.failure?.code], [1, true, 'store_corrupt']);
  assert.deepEqual(losses, []);
});

/** Forgets when it is told to, and says so until it is opened again. */
class LosingLog extends ToldLog {
  #isLost = false;

  async lose(): Promise<void> {
    await this.erase(key);
    this.#isLost = true;
  }

  override async open(...args: Parameters<MemoryEventLog['open']>): Promise<OpenResult> {
    const opened = await super.open(...args);
    this.#isLost &&= opened.outcome !== 'opened';
    return opened;
  }

  override async append(...args: Parameters<MemoryEventLog['append']>): Promise<AppendResult> {
    return this.#isLost ? { outcome: 'log_lost' } : await super.append(...args);
  }
}

test('a log that lost its head gets back what no snapshot holds, and goes on behind it', async () => {
  const log = new LosingLog();
  const { losses, write, writer } = writerOn(log, { retained: new RetainedEvents() });
  for (const text of ['a', 'b', 'c']) write(text);
  await writer.flushed();
  const before = (await log.read(key, 0, 10)).events;
  writer.sealed(1);
  await log.lose();
  write('d');
  await writer.flushed();
  const { events, lastSeq } = await log.read(key, 0, 10);
  assert.deepEqual([events.slice(0, 2), lastSeq, losses], [before.slice(1), 4, []]);
});

test('a log that was lost is not written by somebody whose epoch is over', async () => {
  const log = new LosingLog();
  const { losses, write, writer } = writerOn(log, {
    retained: new RetainedEvents(),
    isStillOurs: async () => false,
  });
  write('a');
  await writer.flushed();
  await log.lose();
  write('b');
  await writer.flushed();
  assert.deepEqual([(await log.read(key, 0, 10)).events, losses], [[], ['stale_epoch']]);
});

test('where more was lost than is kept, the session is given up rather than left with a hole', async () => {
  const log = new LosingLog();
  const retained = new RetainedEvents({ maxEvents: 4, maxCharacters: 1_000_000 });
  const { losses, write, writer } = writerOn(log, { retained });
  for (const text of ['a', 'b', 'c', 'd', 'e', 'f']) write(text);
  await writer.flushed();
  await log.lose();
  write('g');
  await writer.flushed();
  assert.deepEqual([(await log.read(key, 0, 10)).events, losses], [[], ['log_lost']]);
});

test('what an earlier writer had told behind the snapshot is brought back as well, in its own epoch', async () => {
  const log = new LosingLog();
  const told = storedEvents(key, 1, 4, 6);
  const retained = new RetainedEvents();
  retained.keep(told);
  await log.open(key, 2, 3);
  const { losses, write, writer } = writerOn(log, { epoch: 2, lastSeq: 6, sealedSeq: 3, retained });
  await log.lose();
  write('g');
  await writer.flushed();
  const { events, lastSeq } = await log.read(key, 3, 10);
  assert.deepEqual([events.slice(0, 3), lastSeq, events.at(-1)?.header.epoch, losses], [told, 7, 2, []]);
  assert.ok(writer.keeps(({ header }) => header.seq === 5));
});

test('a log that was lost while nothing was written has all again once that is asked for', async () => {
  const log = new LosingLog();
  const { losses, write, writer } = writerOn(log, { retained: new RetainedEvents() });
  for (const text of ['a', 'b']) write(text);
  await writer.flushed();
  const before = (await log.read(key, 0, 10)).events;
  await log.lose();
  await writer.flushed();
  assert.equal((await log.read(key, 0, 10)).lastSeq, 0);
  await writer.confirmed();
  assert.deepEqual([(await log.read(key, 0, 10)).events, losses], [before, []]);
  await writer.confirmed();
  assert.equal((await log.read(key, 0, 10)).lastSeq, 2);
});
