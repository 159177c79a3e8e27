import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalRecords } from '../contracts/records.ts';
import type { ApprovalDecision } from '../core/approval.ts';
import {
  ApprovalOffice,
  askingSession as sessionId,
  askingTurns,
  commandRequest,
  declined,
  nobody,
} from '../testing/approval-office.ts';
import { sessionRecord } from '../testing/stored-records.ts';

const { tenant } = sessionRecord();
const dayMs = 24 * 60 * 60 * 1000;
const [first = ''] = askingTurns;

test('a question is a record before it is an event, the turn waits, and the answer is what the record says', async () => {
  const office = await ApprovalOffice.open();
  const { answer, id } = await office.ask(commandRequest("/bin/bash -c 'touch it'", { reason: 'because' }));
  const asked = await office.approval(id);
  const { createdAt, fingerprint } = asked;
  assert.match(fingerprint, /^[0-9a-f]{64}$/);
  assert.deepEqual(asked, {
    tenant,
    id,
    sessionId,
    turnId: first,
    revision: 1,
    status: 'pending',
    subject: { kind: 'command', command: "/bin/bash -c 'touch it'", cwd: '/s/ws', patchHash: null },
    fingerprint,
    reason: 'because',
    itemId: 'c1',
    details: {},
    decision: null,
    decidedBy: null,
    supersededBy: null,
    createdAt,
    expiresAt: createdAt + dayMs,
    resolvedAt: null,
  });
  assert.equal((await office.turn()).status, 'requires_action');
  assert.deepEqual(office.types(), ['approval.requested', 'turn.requires_action']);

  await office.decideAndTell(id, 'accept');
  assert.deepEqual(await answer, { result: { decision: 'accept' } });
  assert.equal((await office.turn()).status, 'running');
  assert.deepEqual(office.types(), ['approval.requested', 'turn.requires_action', 'approval.resolved']);
  assert.deepEqual([office.waits, office.clock.pendingTimers], [[true, false], 0]);
});

test('each decision is told to Codex in its words, and a cancelled one ends the turn first', async () => {
  const words = { accept: 'accept', accept_for_session: 'acceptForSession', decline: 'decline', cancel: 'cancel' };
  for (const [decision, word] of Object.entries(words)) {
    const office = await ApprovalOffice.open();
    const { answer, id } = await office.ask(commandRequest('make'));
    await office.decideAndTell(id, decision as ApprovalDecision);
    assert.deepEqual(await answer, { result: { decision: word } });
    assert.deepEqual(office.cancelled, decision === 'cancel' ? [first] : []);
  }
});

test('an approval answered a day later goes on, also where word of the answer was lost', async () => {
  const office = await ApprovalOffice.open();
  office.session = { ...office.session, policy: { ...office.session.policy, approvalTimeoutMs: 2 * dayMs } };
  const { answer, id } = await office.ask(commandRequest('make'));
  await office.clock.advanceAsync(dayMs);
  assert.ok(await office.decide(id, 'accept'));
  await office.clock.advanceAsync(5_000);
  assert.deepEqual(await answer, { result: { decision: 'accept' } });
});

test('an approval expires once, at its time, as declined', async () => {
  const office = await ApprovalOffice.open();
  const { answer, id } = await office.ask(commandRequest('make'));
  await office.clock.advanceAsync(dayMs - 1);
  assert.equal((await office.approval(id)).status, 'pending');
  await office.clock.advanceAsync(1);
  assert.deepEqual(await answer, declined);
  const { decidedBy, decision, resolvedAt, revision, status, expiresAt } = await office.approval(id);
  assert.deepEqual(
    [status, decision, decidedBy, resolvedAt, revision],
    ['expired', 'decline', 'timeout', expiresAt, 2],
  );
  assert.equal(office.types().filter((type) => type === 'approval.resolved').length, 1);
  assert.equal(await office.decide(id, 'accept'), false);
});

test('a wall clock that is set forward ends the wait, one that is set back does not', async () => {
  const office = await ApprovalOffice.open();
  const { answer, id } = await office.ask(commandRequest('make'));
  office.clock.setWallTime(office.clock.now() - 10 * dayMs);
  await office.clock.advanceAsync(dayMs);
  assert.equal((await office.approval(id)).status, 'pending');
  office.clock.setWallTime((await office.approval(id)).expiresAt);
  await office.clock.advanceAsync(5_000);
  assert.deepEqual([await answer, (await office.approval(id)).status], [declined, 'expired']);
});

test('of a decision and the expiry the first one written stands, and Codex is told that one', async () => {
  const office = await ApprovalOffice.open();
  const { answer, id } = await office.ask(commandRequest('make'));
  // The person is a moment faster: the desk has read the record as pending when it writes.
  const { replace } = office.stored.approvals;
  let isRaced = false;
  office.stored.approvals.replace = async (next) => {
    if (!isRaced && next.status === 'expired') {
      isRaced = true;
      assert.ok(await office.decide(id, 'accept'));
    }
    return await replace.call(office.stored.approvals, next);
  };
  await office.clock.advanceAsync(dayMs);
  assert.equal(isRaced, true);
  assert.deepEqual(await answer, { result: { decision: 'accept' } });
  assert.deepEqual(await office.outcomes(), [['decided', 'accept', 'ann']]);
});

test('two questions at once: the turn waits until the last one is answered', async () => {
  const office = await ApprovalOffice.open();
  const one = await office.ask(commandRequest('make one'));
  const two = await office.ask(commandRequest('make two'));
  await office.decideAndTell(two.id, 'decline');
  assert.deepEqual([await two.answer, (await office.turn()).status], [declined, 'requires_action']);
  await office.decideAndTell(one.id, 'accept');
  assert.deepEqual(await one.answer, { result: { decision: 'accept' } });
  assert.deepEqual([office.waits, (await office.turn()).status], [[true, false], 'running']);
  assert.deepEqual(
    office.types().filter((type) => type.startsWith('turn.')),
    ['turn.requires_action'],
  );
});

test('more than 64 at once are declined, unasked', async () => {
  const office = await ApprovalOffice.open();
  for (let n = 0; n < 64; n++) await office.ask(commandRequest(`make ${n}`));
  assert.deepEqual(await office.desk.ask(commandRequest('one more'), nobody, { id: first, continues: null }), declined);
  assert.equal((await office.all()).length, 64);
});

test('what a turn asks ends with the turn, as expired, whether Codex hears of it or not', async () => {
  const office = await ApprovalOffice.open();
  const gone = new AbortController();
  const waiting = await office.ask(commandRequest('make one'));
  const aborted = await office.ask(commandRequest('make two'), undefined, gone.signal);
  gone.abort();
  assert.deepEqual(await aborted.answer, declined);
  await office.desk.turnEnded(first);
  assert.deepEqual(await waiting.answer, declined);
  assert.deepEqual(await office.outcomes(), [
    ['expired', 'decline', 'turn_ended'],
    ['expired', 'decline', 'turn_ended'],
  ]);
  assert.equal(office.types().filter((type) => type === 'approval.resolved').length, 2);
  assert.deepEqual([office.desk.isWaiting, office.clock.pendingTimers], [false, 0]);
  // One that Codex had on its way.
  assert.deepEqual(await office.desk.ask(commandRequest('late'), nobody, { id: first, continues: null }), declined);
  assert.equal((await office.all()).length, 2);
});

test('a turn that ends while its question is being stored leaves nothing pending', async () => {
  const office = await ApprovalOffice.open();
  const { create } = office.stored.approvals;
  const stored = Promise.withResolvers<void>();
  office.stored.approvals.create = async (record) => {
    await stored.promise;
    return await create.call(office.stored.approvals, record);
  };
  const answer = office.desk.ask(commandRequest('make'), nobody, { id: first, continues: null });
  await office.clock.advanceAsync(0);
  const ended = office.desk.turnEnded(first);
  await office.clock.advanceAsync(0);
  stored.resolve();
  await ended;
  assert.deepEqual([await answer, await office.outcomes()], [declined, [['expired', 'decline', 'turn_ended']]]);
  assert.deepEqual(office.types(), ['approval.resolved']);
});

test('a desk that may not write any more declines who waits and leaves the records to the next owner', async () => {
  const office = await ApprovalOffice.open();
  const { answer } = await office.ask(commandRequest('make'));
  office.desk.close();
  assert.deepEqual(await answer, declined);
  await office.desk.turnEnded(first);
  assert.deepEqual(
    [await office.outcomes(), (await office.turn()).status],
    [[['pending', null, null]], 'requires_action'],
  );
  await office.reopen().expireOf(first, 'worker_lost');
  assert.deepEqual(await office.outcomes(), [['expired', 'decline', 'worker_lost']]);
  assert.equal(office.types().at(-1), 'approval.resolved');
});

test('a store that takes no record is asked three times, then the question is declined', async () => {
  const office = await ApprovalOffice.open();
  let attempts = 0;
  office.stored.approvals.create = () => {
    attempts++;
    return new Promise(() => {});
  };
  const { answer } = await office.ask(commandRequest('make'));
  await office.clock.advanceAsync(3 * 10_000 + 2 * 1_000);
  assert.deepEqual([await answer, attempts, office.types()], [declined, 3, []]);
});

test('a store that is away while a person thinks is waited for; long after the time is over it is declined', async () => {
  const office = await ApprovalOffice.open();
  const asked = await office.ask(commandRequest('make'));
  const { get } = office.stored.approvals;
  office.stored.approvals.get = async () => {
    throw new Error('away');
  };
  await office.clock.advanceAsync(60_000);
  office.stored.approvals.get = get;
  await office.decideAndTell(asked.id, 'accept');
  assert.deepEqual(await asked.answer, { result: { decision: 'accept' } });

  const lost = await office.ask(commandRequest('make again'));
  office.stored.approvals.get = async () => {
    throw new Error('away');
  };
  office.stored.approvals.replace = office.stored.approvals.get as unknown as ApprovalRecords['replace'];
  await office.clock.advanceAsync(dayMs + 125_000);
  assert.deepEqual(await lost.answer, declined);
});

test('nobody is asked where the session says never, for another thread, without a turn, or what is no approval', async () => {
  const office = await ApprovalOffice.open();
  const turn = { id: first, continues: null };
  const other = commandRequest('make', { threadId: '019f0000-0000-7000-8000-000000000009' });
  const tool = { id: 1, method: 'item/tool/requestUserInput', params: { threadId: sessionId, itemId: 'i' } };
  assert.deepEqual(await office.desk.ask(other, nobody, turn), declined);
  assert.deepEqual(await office.desk.ask(commandRequest('make'), nobody, null), declined);
  assert.deepEqual(await office.desk.ask(tool, nobody, turn), { result: { answers: {} } });
  assert.deepEqual(
    await office.desk.ask({ id: 2, method: 'item/commandExecution/requestApproval' }, nobody, turn),
    declined,
  );
  office.session = { ...office.session, policy: { ...office.session.policy, approvals: 'never' } };
  assert.deepEqual(await office.desk.ask(commandRequest('make'), nobody, turn), declined);
  assert.deepEqual([await office.all(), office.events], [[], []]);
});
