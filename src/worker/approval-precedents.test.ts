import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalDecision, ApprovalRecord } from '../core/approval.ts';
import {
  ApprovalOffice,
  askingSession as sessionId,
  askingTurns,
  commandRequest,
  nobody,
} from '../testing/approval-office.ts';
import { turnRecord } from '../testing/stored-records.ts';

const [first = '', second = '', third = ''] = askingTurns;

test('what was accepted for the session is not asked again, after a restart either; anything else is', async () => {
  const office = await ApprovalOffice.open();
  const { answer, id } = await office.ask(commandRequest('make'));
  await office.decideAndTell(id, 'accept_for_session');
  await answer;
  for (const desk of [office.desk, office.reopen()]) {
    const again = await desk.ask(commandRequest('make', { itemId: 'c2' }), nobody, { id: second, continues: null });
    assert.deepEqual(again, { result: { decision: 'acceptForSession' } });
  }
  const stored = ['decided', 'accept_for_session', 'stored'];
  assert.deepEqual(await office.outcomes(), [['decided', 'accept_for_session', 'ann'], stored, stored]);
  assert.equal(office.types().filter((type) => type === 'turn.requires_action').length, 1);
  for (const other of [
    commandRequest('make all'),
    commandRequest('make', { cwd: '/tmp' }),
    // Out of the sandbox, or with more than before.
    commandRequest('make', { reason: 'I need the network' }),
    commandRequest('make', { additionalPermissions: { network: { enabled: true } } }),
    commandRequest('make', { kind: 'writeStdin' }),
  ])
    assert.equal((await office.approval((await office.ask(other)).id)).status, 'pending');
  // The same words would allow more.
  office.session = { ...office.session, policy: { ...office.session.policy, approvals: 'on-request' } };
  assert.equal((await office.approval((await office.ask(commandRequest('make'))).id)).status, 'pending');
});

type Case = {
  readonly before: readonly (readonly [command: string, answer: ApprovalDecision | 'crash'])[];
  readonly after: readonly (readonly [command: string, answer: 'stored' | 'asked'])[];
  /** The interrupted turn's approvals afterwards. */
  readonly left: readonly string[];
};

const continuations: Readonly<Record<string, Case>> = {
  'an acceptance applies to the identical request, once': {
    before: [['make', 'accept']],
    after: [
      ['make', 'stored'],
      ['make', 'asked'],
    ],
    left: ['superseded'],
  },
  'each of several acceptances applies, in any order': {
    before: [
      ['one', 'accept'],
      ['two', 'accept'],
    ],
    after: [
      ['two', 'stored'],
      ['one', 'stored'],
    ],
    left: ['superseded', 'superseded'],
  },
  'another request takes the place of what was accepted': {
    before: [['make', 'accept']],
    after: [
      ['make all', 'asked'],
      ['make', 'asked'],
    ],
    left: ['superseded'],
  },
  'what the crash left unanswered is asked again': {
    before: [['make', 'crash']],
    after: [['make', 'asked']],
    left: ['superseded'],
  },
  'what was declined is no precedent': {
    before: [['make', 'decline']],
    after: [['make', 'asked']],
    left: ['decided'],
  },
};

for (const [promise, { after, before, left }] of Object.entries(continuations)) {
  test(`in a continuation ${promise}`, async () => {
    const office = await ApprovalOffice.open();
    for (const [command, answer] of before) {
      const { id } = await office.ask(commandRequest(command));
      if (answer !== 'crash') await office.decideAndTell(id, answer);
    }
    office.desk.close();
    await office.reopen().expireOf(first, 'worker_lost');
    const turn = { id: second, continues: first };
    for (const [command, answer] of after) {
      const { id } = await office.ask(commandRequest(command), turn);
      const { decidedBy, decision, status } = await office.approval(id);
      const stored = ['decided', 'accept', 'stored'];
      assert.deepEqual([status, decision, decidedBy], answer === 'stored' ? stored : ['pending', null, null]);
    }
    const standing = await office.all();
    assert.deepEqual(
      standing.slice(0, before.length).map(({ status }) => status),
      left,
    );
    for (const { status, supersededBy } of standing)
      assert.equal(
        status === 'superseded',
        standing.some(({ id }) => id === supersededBy),
      );
  });
}

test('a continuation of a continuation looks back to where it began, and no other turn looks back at all', async () => {
  const office = await ApprovalOffice.open();
  const { id } = await office.ask(commandRequest('make'));
  await office.decideAndTell(id, 'accept');
  await office.stored.turns.create(turnRecord({ id: `${second.slice(0, -2)}b2`, continues: first }));
  const unrelated = await office.ask(commandRequest('make'), { id: third, continues: null });
  assert.equal((await office.approval(unrelated.id)).status, 'pending');
  const answer = await office.reopen().ask(commandRequest('make'), nobody, {
    id: third,
    continues: `${second.slice(0, -2)}b2`,
  });
  assert.deepEqual(answer, { result: { decision: 'accept' } });
});

test('a patch is known by what the item that Codex names described', async () => {
  const office = await ApprovalOffice.open();
  const describe = (diff: string): void => {
    const changes = [{ path: '/s/ws/a.txt', kind: { type: 'add' }, diff }];
    const item = { type: 'fileChange', id: 'p1', changes, status: 'inProgress' };
    office.desk.hear({ method: 'item/started', params: { threadId: sessionId, turnId: 'codex', item } });
  };
  const params = { threadId: sessionId, turnId: 'codex', itemId: 'p1', reason: null, grantRoot: null };
  const request = { id: 3, method: 'item/fileChange/requestApproval', params };
  for (const params of [undefined, {}, { item: null }, { item: { type: 'fileChange', id: 'p1', changes: [null] } }])
    office.desk.hear({ method: 'item/started', params });
  describe('hello\n');
  const { answer, id } = await office.ask(request);
  const { details, subject } = await office.approval(id);
  assert.match(subject.patchHash ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual(
    [subject.kind, details],
    ['file_change', { changes: [{ path: '/s/ws/a.txt', kind: 'add', diff: 'hello\n' }] }],
  );
  await office.decideAndTell(id, 'accept_for_session');
  assert.deepEqual(await answer, { result: { decision: 'acceptForSession' } });

  assert.deepEqual(await office.desk.ask(request, nobody, { id: first, continues: null }), await answer);
  describe('goodbye\n');
  assert.equal((await office.approval((await office.ask(request)).id)).status, 'pending');
  // Of a patch that nobody described nothing can be known.
  const unknown = { ...request, params: { ...params, itemId: 'p2' } };
  const other = await office.approval((await office.ask(unknown)).id);
  assert.deepEqual([other.status, other.subject.patchHash], ['pending', null]);
});

test('of more patches than are kept the oldest are forgotten', async () => {
  const office = await ApprovalOffice.open();
  for (let n = 0; n < 65; n++) {
    const changes = [{ path: `/s/ws/${n}`, kind: { type: 'add' }, diff: 'x'.repeat(20_000) }];
    const item = { type: 'fileChange', id: `p${n}`, changes };
    office.desk.hear({ method: 'item/started', params: { threadId: sessionId, item } });
  }
  const asked: ApprovalRecord[] = [];
  for (const itemId of ['p0', 'p1']) {
    const params = { threadId: sessionId, itemId };
    asked.push(
      await office.approval((await office.ask({ id: 4, method: 'item/fileChange/requestApproval', params })).id),
    );
  }
  assert.deepEqual(
    asked.map(({ subject }) => subject.patchHash !== null),
    [false, true],
  );
  const changes = asked[1]?.details['changes'] as { diff: string; truncated: boolean }[];
  assert.deepEqual(
    changes.map(({ diff, truncated }) => [diff.length, truncated]),
    [[16 * 1024, true]],
  );
});
