import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobRecord, jobSpec, turnRecord } from '../testing/stored-records.ts';
import {
  begunJob,
  cancelledJob,
  hasJobEnded,
  type JobRecord,
  keptAttempts,
  lostJob,
  refusedJob,
  retriedJob,
  retryDelayMs,
  settledJob,
  startedJob,
  toldJob,
  isAttended,
} from './job.ts';
import type { TerminalStatus, TurnRecord } from './turn.ts';

const turn = turnRecord();
const error = { code: 'turn_failed', message: 'it failed' };

function running(changes: Partial<JobRecord> = {}, maxAttempts = 1): JobRecord {
  const spec = jobSpec({ retry: { maxAttempts, firstDelayMs: 10, longestDelayMs: 100 } });
  const begun = begunJob(jobRecord({ spec }), turn.id, 5) ?? assert.fail();
  return { ...(startedJob(begun, turn) ?? assert.fail()), ...changes };
}

const ended = (status: TerminalStatus) =>
  turnRecord({ status, endedAt: 7, finalMessage: 'said', error: status === 'completed' ? null : error });

test('an attempt is begun, started and settled once each', () => {
  const begun = begunJob(jobRecord(), turn.id, 5) ?? assert.fail();
  assert.deepEqual([begun.status, begun.dueAt, begun.attemptCount], ['running', null, 1]);
  assert.equal(begunJob(begun, turn.id, 6), null);
  const started = startedJob(begun, turn) ?? assert.fail();
  assert.equal(started.attempts[0]?.sessionId, turn.sessionId);
  assert.equal(startedJob(started, turn), null);
  assert.equal(settledJob(started, turn, 8), null);
  const settled = settledJob(started, ended('completed'), 8) ?? assert.fail();
  assert.deepEqual([settled.status, settled.finalMessage, settled.endedAt], ['completed', 'said', 8]);
  assert.equal(settledJob(settled, ended('completed'), 9), null);
});

test("another's turn settles nothing", () => {
  assert.equal(settledJob(running(), { ...ended('completed'), id: 'another' }, 8), null);
  assert.equal(startedJob(begunJob(jobRecord(), 'another', 5) ?? assert.fail(), turn), null);
});

test('how a turn ended decides, with the attempts left: of a job that is being cancelled no further one is made', () => {
  const becomes = (status: TerminalStatus, isCancelling: boolean, maxAttempts: number): unknown =>
    settledJob(running({ isCancelling }, maxAttempts), ended(status), 8)?.status;
  for (const status of ['failed', 'interrupted', 'timed_out'] as const) {
    assert.equal(becomes(status, false, 2), 'queued');
    assert.equal(becomes(status, false, 1), 'failed');
    assert.equal(becomes(status, true, 2), 'cancelled');
    // What may have been told already stays true.
    assert.equal(becomes(status, true, 1), 'failed');
  }
  assert.equal(becomes('cancelled', false, 2), 'cancelled');
  assert.equal(becomes('completed', true, 2), 'completed');
});

test('a turn that never ran for want of room uses no attempt up, and comes again ever later', () => {
  const waited = (id: string, code: string): TurnRecord =>
    turnRecord({ id, status: 'timed_out', startedAt: null, endedAt: 7, error: { code, message: 'it never ran' } });
  let job = jobRecord({ spec: jobSpec({ retry: { maxAttempts: 1, firstDelayMs: 10, longestDelayMs: 100 } }) });
  const delays: number[] = [];
  for (const code of ['queue_timed_out', 'draining', 'worker_lost', 'agent_start_failed', 'storage_full', 'draining']) {
    const id = `turn-${job.attemptCount + 1}`;
    job = begunJob(job, id, 5) ?? assert.fail();
    job = settledJob(startedJob(job, { ...turn, id }) ?? assert.fail(), waited(id, code), 8) ?? assert.fail();
    assert.deepEqual([job.status, job.error?.code], ['queued', code]);
    delays.push((job.dueAt ?? 0) - 8);
  }
  assert.deepEqual(delays, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  assert.deepEqual([job.attemptCount, job.countedFrom], [6, 6]);
  job = startedJob(begunJob(job, 'turn-7', 5) ?? assert.fail(), { ...turn, id: 'turn-7' }) ?? assert.fail();
  assert.equal(settledJob({ ...job, isCancelling: true }, waited('turn-7', 'draining'), 8)?.status, 'cancelled');
  // What it would meet again, and what ran: that counts.
  assert.equal(settledJob(job, waited('turn-7', 'session_full'), 8)?.status, 'failed');
  assert.equal(settledJob(job, waited('turn-7', 'turn_failed'), 8)?.status, 'failed');
  assert.equal(settledJob(job, { ...waited('turn-7', 'draining'), startedAt: 6 }, 8)?.status, 'failed');
});

test('a refused attempt is withdrawn and comes again under the same number, or ends the job', () => {
  const begun = begunJob(jobRecord(), turn.id, 5) ?? assert.fail();
  const again = refusedJob(begun, error, 6, 60) ?? assert.fail();
  assert.deepEqual([again.status, again.dueAt, again.attemptCount, again.attempts], ['queued', 60, 0, []]);
  const final = refusedJob(begun, error, 6, null) ?? assert.fail();
  assert.deepEqual([final.status, final.attempts[0]?.status, final.endedAt], ['failed', 'failed', 6]);
  assert.equal(refusedJob({ ...begun, isCancelling: true }, error, 6, 60)?.status, 'cancelled');
  assert.equal(refusedJob(running(), error, 6, 60), null);
});

test('a job whose turn is gone has failed, and one that waits cannot lose any', () => {
  assert.deepEqual(lostJob(running({}, 5), error, 6)?.status, 'failed');
  assert.equal(lostJob(jobRecord(), error, 6), null);
});

test('a job that waits is cancelled at once, and that is to be told; one that runs is to end, once', () => {
  const waiting = cancelledJob(jobRecord({ dueAt: 100 }), 6) ?? assert.fail();
  assert.deepEqual(
    [waiting.status, waiting.isCancelling, waiting.dueAt, waiting.endedAt],
    ['cancelled', false, null, 6],
  );
  assert.deepEqual(
    [waiting.untold, isAttended(waiting), isAttended(toldJob(waiting))],
    [['job.cancelled'], true, false],
  );
  assert.equal(begunJob(waiting, turn.id, 7), null);
  const asked = cancelledJob(running(), 6) ?? assert.fail();
  assert.deepEqual([asked.status, asked.isCancelling], ['running', true]);
  assert.equal(cancelledJob(asked, 7), null);
  assert.equal(cancelledJob(jobRecord({ status: 'failed' }), 7), null);
});

test('a client may have another try of what failed or was cancelled, with all its attempts', () => {
  const failed = settledJob(running({}, 1), ended('failed'), 8) ?? assert.fail();
  const again = retriedJob(failed, 9) ?? assert.fail();
  assert.deepEqual([again.status, again.dueAt, again.countedFrom, again.endedAt], ['queued', 9, 1, null]);
  assert.equal(hasJobEnded(again), false);
  assert.equal(retriedJob(again, 10), null);
});

test('what an interrupted attempt and the turns that went on with it used counts together', () => {
  const used = { inputTokens: 3, cachedInputTokens: 0, outputTokens: 1, reasoningOutputTokens: 0, costUsd: null };
  const next = { ...ended('completed'), id: 'next', usage: used };
  const settled = settledJob(running(), next, 8, [{ ...ended('interrupted'), usage: used }]);
  assert.deepEqual([settled?.status, settled?.usage.inputTokens, settled?.attempts.length], ['completed', 6, 1]);
  assert.equal(settledJob(running(), next, 8), null);
});

test('delays double up to the longest, and no number of failures overflows them', () => {
  const retry = { maxAttempts: 9, firstDelayMs: 10, longestDelayMs: 60 };
  assert.deepEqual(
    [1, 2, 3, 4, 5_000].map((failures) => retryDelayMs(retry, failures)),
    [10, 20, 40, 60, 60],
  );
});

test('of many attempts the last are kept', () => {
  let job = jobRecord();
  for (let attempt = 1; attempt <= keptAttempts + 5; attempt++)
    job = { ...(begunJob(job, `turn-${attempt}`, attempt) ?? assert.fail()), status: 'queued' };
  assert.deepEqual([job.attempts.length, job.attemptCount, job.attempts[0]?.turnId], [keptAttempts, 25, 'turn-6']);
});
