import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { type ApprovalDecision, type ApprovalRecord, decidedApproval } from '../core/approval.ts';
import type { EventDraft } from '../core/event.ts';
import { mintId } from '../core/ids.ts';
import type { ApprovalPolicy } from '../core/session.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { buildThreadResume, buildTurnStart } from '../protocol/policy.ts';
import { AgentLab, type LabAgent, type ModelReply } from '../testing/agent-lab.ts';
import { sessionRecord, turnRecord } from '../testing/stored-records.ts';
import { ApprovalDesk } from './approval-desk.ts';

// The real Codex in its cage, a model that says what the test wants, and a desk that answers it.

let lab: AgentLab;
before(async () => {
  lab = await AgentLab.open();
});
after(() => lab.close());

type Answer = ApprovalDecision | ((approval: ApprovalRecord) => Promise<void>);

/** A session with one turn after the other, on one Codex until `restart`. */
class Scene {
  readonly clock = new SystemClock();
  readonly records = new MemoryRecords();
  readonly events: EventDraft[] = [];
  readonly cancelled: string[] = [];
  readonly session: ReturnType<typeof sessionRecord>;
  #desk: ApprovalDesk | null = null;
  #agent: LabAgent | null = null;
  #turnId = '';
  /** What the person answers, in order. */
  answers: Answer[] = [];

  constructor(approvals: ApprovalPolicy) {
    const { policy } = sessionRecord();
    this.session = sessionRecord({ id: mintId(), policy: { ...policy, approvals } });
  }

  get agent(): LabAgent {
    assert.ok(this.#agent !== null);
    return this.#agent;
  }

  get desk(): ApprovalDesk {
    assert.ok(this.#desk !== null);
    return this.#desk;
  }

  async start(): Promise<void> {
    const desk = new ApprovalDesk({
      records: this.records,
      writer: { write: (draft) => this.#told(draft) },
      notices: { approval: () => {}, requiresAction: () => {} },
      clock: this.clock,
      logger: createSilentLogger(),
      session: () => this.session,
      onWaiting: () => {},
      onCancel: (turnId) => this.cancelled.push(turnId),
    });
    const agent = await lab.start({
      onServerRequest: async (request, signal) => {
        // As an ear would: what was described before the question has been heard.
        for (const notification of agent.notifications) desk.hear(notification);
        return await desk.ask(request, signal, { id: this.#turnId, continues: null });
      },
    });
    this.#desk = desk;
    this.#agent = agent;
    await lab.seedThread(agent, this.session.id);
    const resume = { sessionId: this.session.id, credential: 'none', instructions: null, model: 'demo' };
    await agent.calls.threadResume(buildThreadResume(resume));
  }

  /** How Codex says that the turn ended. */
  async turn(answers: Answer[], ...replies: ModelReply[]): Promise<string> {
    this.answers = answers;
    this.#turnId = mintId();
    await this.records.turns.create(turnRecord({ id: this.#turnId, sessionId: this.session.id, status: 'running' }));
    lab.modelSays(...replies);
    const { agent, session } = this;
    agent.notifications.length = 0;
    await agent.calls.turnStart(
      buildTurnStart({
        sessionId: session.id,
        prompt: 'go',
        approvals: session.policy.approvals,
        model: 'demo',
        sandbox: 'workspace-write',
        network: false,
      }),
    );
    const ended = await agent.heard('turn/completed');
    await this.desk.turnEnded(this.#turnId);
    return (ended.params as { turn: { status: string } }).turn.status;
  }

  has(file: string): boolean {
    return existsSync(path.join(this.agent.slotDir, file));
  }

  async asked(): Promise<readonly ApprovalRecord[]> {
    const filter = { sessionId: this.session.id, status: null };
    const query = { after: null, limit: 100, order: 'asc' } as const;
    return (await this.records.approvals.list(this.session.tenant, filter, query)).data;
  }

  #told(draft: EventDraft): string {
    this.events.push(draft);
    if (draft.type === 'approval.requested') {
      const { id } = draft.fields['approval'] as { readonly id: string };
      const answer = this.answers.shift();
      assert.ok(answer !== undefined, 'it asked more often than it was to');
      setImmediate(() => void this.#answer(id, answer));
    }
    return '';
  }

  async #answer(id: string, answer: Answer): Promise<void> {
    const approval = await this.records.approvals.get(this.session.tenant, id);
    assert.ok(approval !== null);
    if (typeof answer === 'function') return await answer(approval);
    const decided = decidedApproval(approval, answer, 'ann', this.clock.now());
    assert.ok(decided !== null && (await this.records.approvals.replace(decided)) !== null);
    this.desk.settled(id);
  }
}

async function scene(approvals: ApprovalPolicy): Promise<Scene> {
  const made = new Scene(approvals);
  await made.start();
  return made;
}

const patch = (file: string): string =>
  `apply_patch <<'PATCH'\n*** Begin Patch\n*** Add File: ${file}\n+hello\n*** End Patch\nPATCH\n`;

// 0.169 runs what was accepted in the sandbox first, and, where it sees in time that this stops it, outside
// without asking again: whether it does is not told here, for it depends on the machine's load.
test('untrusted: a command waits for its answer; accepted it runs, declined it does not', async () => {
  const stage = await scene('untrusted');
  const command = 'touch inside; touch /s/home/outside';
  assert.equal(await stage.turn(['decline'], { command }), 'completed');
  assert.deepEqual([stage.has('ws/inside'), stage.has('home/outside')], [false, false]);
  assert.equal(await stage.turn(['accept'], { command }), 'completed');
  assert.equal(stage.has('ws/inside'), true);
  assert.deepEqual(
    (await stage.asked()).map(({ reason, subject }) => [subject.kind, subject.cwd, reason]),
    [
      ['command', '/s/ws', null],
      ['command', '/s/ws', null],
    ],
  );
});

test('on-request: only what wants more than the sandbox is asked for, and an acceptance gives it', async () => {
  const stage = await scene('on-request');
  assert.equal(await stage.turn([], { command: 'touch inside; touch /s/home/outside' }), 'completed');
  assert.deepEqual([stage.has('ws/inside'), stage.has('home/outside')], [true, false]);
  const reply = { command: 'touch /s/home/outside', outside: 'it must be there' };
  assert.equal(await stage.turn(['accept'], reply), 'completed');
  assert.equal(stage.has('home/outside'), true);
  const [asked] = await stage.asked();
  assert.deepEqual([asked?.subject.command, asked?.reason], ["/bin/bash -c 'touch /s/home/outside'", reply.outside]);
});

test('never: what wants more than the sandbox is not asked for and does not get it', async () => {
  const stage = await scene('never');
  assert.equal(await stage.turn([], { command: 'touch /s/home/outside', outside: 'please' }), 'completed');
  assert.deepEqual([await stage.asked(), stage.has('home/outside')], [[], false]);
});

test('cancelled: the command does not run and Codex ends the turn; the next one goes on as ever', async () => {
  const stage = await scene('untrusted');
  assert.equal(await stage.turn(['cancel'], { command: 'touch inside' }), 'interrupted');
  assert.deepEqual([stage.cancelled.length, stage.has('ws/inside')], [1, false]);
  assert.equal(await stage.turn(['accept'], { command: 'touch inside' }), 'completed');
  assert.equal(stage.has('ws/inside'), true);
});

test('a turn that is interrupted while it asks ends at once, and its question expires', async () => {
  const stage = await scene('untrusted');
  const interrupt = async (): Promise<void> => {
    const started = await stage.agent.heard('turn/started');
    const { threadId, turn } = started.params as { threadId: string; turn: { id: string } };
    await stage.agent.calls.turnInterrupt({ threadId, turnId: turn.id });
  };
  assert.equal(await stage.turn([interrupt], { command: 'touch inside' }), 'interrupted');
  assert.deepEqual(
    (await stage.asked()).map(({ decidedBy, status }) => [status, decidedBy]),
    [['expired', 'turn_ended']],
  );
  assert.equal(stage.has('ws/inside'), false);
  assert.equal(await stage.turn(['accept'], { command: 'touch inside' }), 'completed');
});

test('accepted for the session: Codex asks no more, and another process of the session need not ask', async () => {
  const stage = await scene('untrusted');
  const command = 'echo again >> inside';
  assert.equal(await stage.turn(['accept_for_session'], { command }, { command }), 'completed');
  assert.equal((await stage.asked()).length, 1);
  await stage.agent.kill();
  await stage.start();
  assert.equal(await stage.turn([], { command }, { command }), 'completed');
  assert.deepEqual(
    (await stage.asked()).map(({ decidedBy }) => decidedBy),
    ['ann', 'stored'],
  );
  assert.equal(stage.has('ws/inside'), true);
  // Outside the sandbox it is another request, for Codex and for us.
  assert.equal(await stage.turn(['decline'], { command, outside: 'please' }), 'completed');
});

test('a patch is asked for with what it would change, and is made when it is accepted', async () => {
  const stage = await scene('untrusted');
  assert.equal(await stage.turn(['decline'], { command: patch('one.txt') }), 'completed');
  assert.equal(await stage.turn(['accept'], { command: patch('two.txt') }), 'completed');
  assert.deepEqual([stage.has('ws/one.txt'), stage.has('ws/two.txt')], [false, true]);
  const asked = await stage.asked();
  assert.deepEqual(
    asked.map(({ details }) => details),
    ['one', 'two'].map((name) => ({ changes: [{ path: `/s/ws/${name}.txt`, kind: 'add', diff: 'hello\n' }] })),
  );
  assert.equal(new Set(asked.map(({ subject }) => subject.patchHash)).size, 2);
});
