import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxNoticeBytes } from '../api/cut-notice.ts';
import { maxMetadataEntries, maxSnapshotExcludes } from '../api/limits.ts';
import type { Outbox } from '../contracts/outbox.ts';
import { ServiceError } from '../core/errors.ts';
import { defaultPolicy } from '../core/session.ts';
import { newTurn } from '../core/turn.ts';
import type { Notice } from '../core/webhook.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { SessionNotices } from './session-notices.ts';

const ended = turnRecord({
  ...newTurn,
  id: '01890000-0000-7000-8000-000000000001',
  status: 'completed',
  finalMessage: 'done',
  endedAt: 5_000,
});

class Stage implements Outbox {
  readonly clock = new FakeClock();
  readonly put_: Notice[] = [];
  readonly told: string[] = [];
  /** What the next puts answer; then they succeed. */
  readonly failures: Error[] = [];
  lastSeq = 7;
  session = sessionRecord({ epoch: 3 });
  readonly notices = new SessionNotices({
    outbox: this,
    session: () => this.session,
    lastSeq: () => this.lastSeq,
    onTold: (turnId) => this.told.push(turnId),
    clock: this.clock,
    logger: createSilentLogger(),
  });

  async put(notices: readonly Notice[]): Promise<void> {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    this.put_.push(...notices);
  }

  get said(): string[] {
    return this.put_.map(({ order, type }) => `${type} ${order}`);
  }
}

test('the end of a turn counts as told once it is in the outbox, with its answer and without its prompt', async () => {
  const stage = new Stage();
  stage.notices.turnEnded(ended);
  assert.deepEqual(stage.told, []);
  await stage.notices.settled();
  assert.deepEqual(stage.told, [ended.id]);
  const [notice] = stage.put_;
  assert.deepEqual(
    [notice?.type, notice?.lane, notice?.order, notice?.at, notice?.sessionId, notice?.jobId],
    ['turn.completed', ended.id, 28, ended.endedAt, stage.session.id, null],
  );
  const data = JSON.parse(notice?.data ?? '') as Record<string, unknown>;
  assert.deepEqual([data['id'], data['stdout'], 'prompt' in data], [ended.id, 'done', false]);
});

test('while the store is away nothing counts as told, and the order holds when it is back', async () => {
  const stage = new Stage();
  stage.failures.push(new ServiceError('store_unavailable'), new ServiceError('store_unavailable'));
  stage.notices.sessionCreated();
  stage.lastSeq = 9;
  stage.notices.turnEnded(ended);
  await stage.clock.advanceAsync(150);
  assert.deepEqual([stage.told, stage.said], [[], []]);
  await stage.clock.advanceAsync(1_000);
  await stage.notices.settled();
  assert.deepEqual(stage.said, ['session.created 0', 'turn.completed 36']);
  assert.deepEqual(stage.told, [ended.id]);
});

test('what was not said when the session went is not said, and does not count as told', async () => {
  const stage = new Stage();
  stage.failures.push(new ServiceError('store_unavailable'));
  stage.notices.turnEnded(ended);
  await stage.clock.advanceAsync(10);
  stage.notices.close();
  await stage.notices.settled();
  await stage.clock.advanceAsync(60_000);
  assert.deepEqual([stage.told, stage.said, stage.clock.pendingTimers], [[], [], 0]);
});

test('a turn that used up what it may use says so before its end; the same end has the same name', async () => {
  const stage = new Stage();
  const failed = { ...ended, status: 'failed', reason: 'budget' } as const;
  stage.notices.turnEnded(failed);
  stage.notices.turnEnded(failed);
  await stage.notices.settled();
  assert.deepEqual(stage.said, ['budget.exhausted 28', 'turn.failed 29', 'budget.exhausted 28', 'turn.failed 29']);
  assert.equal(new Set(stage.put_.map(({ identity }) => identity)).size, 2);
});

test('that a session is quarantined is put with the end of the turn that did it: whoever repeats one repeats both', async () => {
  const crashed = { ...ended, status: 'failed', startedAt: 1, error: { code: 'agent_crashed', message: '' } } as const;
  const identities: string[][] = [];
  // By its owner, and by who took the session from it.
  for (const epoch of [3, 4]) {
    const stage = new Stage();
    stage.session = sessionRecord({ epoch, status: 'quarantined' });
    stage.failures.push(new ServiceError('store_unavailable'));
    stage.notices.turnEnded(crashed);
    await stage.clock.advanceAsync(10);
    assert.deepEqual([stage.told, stage.said], [[], []]);
    await stage.clock.advanceAsync(1_000);
    await stage.notices.settled();
    assert.deepEqual([stage.told, stage.said], [[ended.id], ['turn.failed 28', 'session.quarantined 28']]);
    identities.push(stage.put_.map(({ identity }) => identity));
  }
  assert.deepEqual(identities[0], identities[1]);
});

test('whatever a client wrote into a session, it can be told of', async () => {
  const stage = new Stage();
  const metadata = Object.fromEntries(
    Array.from({ length: maxMetadataEntries }, (_, index) => [`${index}`.padStart(64, 'k'), '\u0001'.repeat(512)]),
  );
  const snapshotExclude = Array.from({ length: maxSnapshotExcludes }, (_, index) => `${index}/${'é/'.repeat(1_300)}x`);
  stage.session = sessionRecord({
    metadata,
    title: '\u0001'.repeat(256),
    policy: { ...defaultPolicy, snapshotExclude },
  });
  stage.notices.sessionCreated();
  await stage.notices.settled();
  const [notice] = stage.put_;
  assert.deepEqual((JSON.parse(notice?.data ?? '') as Record<string, unknown>)['metadata'], metadata);
  const bytes = Buffer.byteLength(notice?.data ?? '');
  assert.ok(bytes <= maxNoticeBytes, `${bytes} bytes`);
});

test('what no store will ever take is dropped and counts as told: nothing waits behind it for ever', async () => {
  const stage = new Stage();
  stage.failures.push(new ServiceError('internal'), new TypeError('it cannot be written'));
  const other = { ...ended, id: '01890000-0000-7000-8000-000000000002' };
  stage.notices.turnEnded(ended);
  stage.notices.turnEnded(other);
  stage.notices.turnEnded({ ...ended, id: '01890000-0000-7000-8000-000000000003' });
  await stage.notices.settled();
  assert.deepEqual(stage.told.slice(0, 2), [ended.id, other.id]);
  assert.equal(stage.told.length, 3);
  assert.equal(stage.put_.length, 1);
});

test('a store that is full, or where another came first, may take it later', async () => {
  const stage = new Stage();
  stage.failures.push(new ServiceError('storage_full'), new ServiceError('store_conflict'));
  stage.notices.turnEnded(ended);
  await stage.clock.advanceAsync(150);
  assert.deepEqual(stage.told, []);
  await stage.clock.advanceAsync(1_000);
  await stage.notices.settled();
  assert.deepEqual([stage.told, stage.put_.length], [[ended.id], 1]);
});
