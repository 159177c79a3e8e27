// What becomes of a turn that waits for a person, in a whole worker: a day passes, the worker dies, the
// worker is told to stop.

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { TurnKey } from '../contracts/worker-link.ts';
import { type ApprovalDecision, type ApprovalRecord, decidedApproval } from '../core/approval.ts';
import { defaultPolicy } from '../core/session.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const dayMs = 24 * 60 * 60 * 1000;
const policy = { ...defaultPolicy, approvals: 'untrusted', approvalTimeoutMs: 2 * dayMs } as const;

/** A turn that asks before it ends. */
const asking = (command: string): Script => ({
  on: {
    'turn/start': [
      [
        { playTurnWithoutEnd: 'half' },
        {
          request: {
            method: 'item/commandExecution/requestApproval',
            params: { kind: 'command', threadId: '$thread', turnId: '$turn', itemId: 'c1', command, cwd: '/s/ws' },
          },
        },
        {
          notify: {
            method: 'turn/completed',
            params: { threadId: '$thread', turn: { id: '$turn', items: [], status: 'completed', error: null } },
          },
        },
      ],
    ],
  },
});

async function open(t: TestContext, options: StageOptions): Promise<WorkerStage> {
  const stage = await WorkerStage.open(options);
  t.after(() => stage.close());
  return stage;
}

const approvalsOf = async (stage: WorkerStage, { sessionId, tenant }: TurnKey): Promise<readonly ApprovalRecord[]> =>
  (await stage.records.approvals.list(tenant, { sessionId, status: null }, { after: null, limit: 10, order: 'asc' }))
    .data;

const pending = (stage: WorkerStage, key: TurnKey): Promise<ApprovalRecord> =>
  stage.until(async () => (await approvalsOf(stage, key)).find(({ status }) => status === 'pending') ?? null);

async function decide(stage: WorkerStage, approval: ApprovalRecord, decision: ApprovalDecision): Promise<void> {
  const decided = decidedApproval(approval, decision, 'somebody', stage.clock.now());
  assert.ok(decided !== null && (await stage.records.approvals.replace(decided)) !== null);
  await stage.worker.approvalSettled(approval, approval.id);
}

test('a turn that is answered a day later goes on, and the day does not count as running', async (t) => {
  const stage = await open(t, { scripts: [asking('make')] });
  const key = await stage.start(await stage.newSession({ policy }), { timeoutMs: 60_000 });
  const approval = await pending(stage, key);
  await stage.until(async () => (await stage.session(key)).status === 'requires_action');
  for (let hour = 0; hour < 24; hour++) await stage.clock.advanceAsync(dayMs / 24);
  assert.equal((await stage.turn(key)).status, 'requires_action');
  await decide(stage, approval, 'accept');
  assert.equal((await stage.ended(key)).status, 'completed');
});

test('what a lost worker asked expires with it; a continuation that asks the same again supersedes it', async (t) => {
  const lost = await WorkerStage.open({ scripts: [asking('make')] });
  const session = await lost.newSession({ policy: { ...policy, onInterrupt: 'continue' } });
  const key = await lost.start(session);
  const asked = await pending(lost, key);
  await lost.die();

  const stage = await open(t, { after: lost, scripts: [asking('make')] });
  await stage.worker.recoverSession(key);
  const again = await pending(stage, key);
  const [first] = await approvalsOf(stage, key);
  assert.deepEqual([first?.id, first?.status, first?.supersededBy], [asked.id, 'superseded', again.id]);
  await decide(stage, again, 'accept');
  const continuation = { ...key, turnId: again.turnId };
  assert.equal((await stage.ended(continuation)).status, 'completed');
  assert.equal((await stage.turn(continuation)).continues, key.turnId);
});

test('an acceptance that was given before the worker died answers the same request, and no other', async (t) => {
  for (const [command, expected] of [
    ['make', 'stored'],
    ['make install', 'asked'],
  ] as const) {
    const lost = await WorkerStage.open({ scripts: [asking('make')] });
    const session = await lost.newSession({ policy: { ...policy, onInterrupt: 'continue' } });
    const key = await lost.start(session);
    const asked = await pending(lost, key);
    // Decided, and nobody was left to tell Codex.
    const decided = decidedApproval(asked, 'accept', 'somebody', lost.clock.now());
    assert.ok(decided);
    await lost.die();
    await lost.records.approvals.replace(decided);

    const stage = await open(t, { after: lost, scripts: [asking(command)] });
    await stage.worker.recoverSession(key);
    const next = await stage.until(
      async () => (await approvalsOf(stage, key)).find(({ id }) => id !== asked.id) ?? null,
    );
    assert.equal(next.decidedBy ?? 'asked', expected);
    if (next.status === 'pending') await decide(stage, next, 'decline');
    assert.equal((await stage.ended({ ...key, turnId: next.turnId })).status, 'completed');
  }
});

test('a stop does not wait for a person', async () => {
  const stage = await WorkerStage.open({ scripts: [asking('make')] });
  const key = await stage.start(await stage.newSession({ policy }));
  await pending(stage, key);
  const stopping = stage.worker.stop(dayMs);
  const ended = await stage.ended(key);
  assert.deepEqual([ended.status, ended.reason], ['interrupted', 'drain']);
  assert.deepEqual(
    (await approvalsOf(stage, key)).map(({ decidedBy, status }) => [status, decidedBy]),
    [['expired', 'turn_ended']],
  );
  await stopping;
  await stage.close();
});
