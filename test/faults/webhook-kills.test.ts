import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalResource } from '../../src/api/approvals.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import type { WebhookResource } from '../../src/api/webhooks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { eventually } from '../e2e/eventually.ts';
import {
  type Behaviour,
  type Received,
  sentInTurn,
  subjectOf,
  toldInOrder,
  type ToBeTold,
  WebhookReceiver,
} from '../e2e/webhook-receiver.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { KeptHistory } from './kept-history.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

const sessions = 6;
const kills = scaled(8);
const turnsPerSession = scaled(6);
const longestDelayMs = 600;
/** Those of a turn that asks a person; of the others there is only the last. */
const askedInOrder = ['approval.requested', 'turn.requires_action', 'approval.resolved'];

function promptOf(session: number, turn: number): string {
  const name = `turn ${session}-${turn}`;
  if (session === 0) return `ask: echo ${name}`;
  const scripts = [`say: ${name}`, `run: echo ${name} >> done.txt`, `wait: 150 ms\nsay: ${name}`];
  return scripts[(session + turn) % scripts.length] ?? '';
}

/** Of a quarter of all deliveries the first attempt fails, or seems to. */
function unreliable(random: SeededRandom): Behaviour {
  return ({ attempt }) =>
    attempt === 1 && random.between(0, 3) === 0 ? (random.between(0, 1) === 0 ? 500 : 'close') : 204;
}

test('whenever a fleet is killed, the end of each turn is told at least once, in order for each turn [webhook-durable]', {
  timeout: 300_000 * Math.max(1, turnsPerSession / 6),
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using receiver = await WebhookReceiver.start(unreliable(random));
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
    env: { CODEX_FLEET_WEBHOOKS_ALLOW_HTTP: 'true', CODEX_FLEET_WEBHOOKS_ALLOW_PRIVATE: '127.0.0.1/32' },
  });
  using history = new KeptHistory(fleet, oracle);
  const hook = await fleet.client.request<WebhookResource & { secret: string }>('POST', '/api/v1/webhooks', {
    url: receiver.url,
  });
  assert.equal(hook.status, 201, hook.text);
  receiver.trust(hook.body.secret);
  const names = Array.from({ length: sessions }, (_, session) => `told-${session}`);
  for (const [session, id] of names.entries()) {
    const policy =
      session === 0 ? { approval_policy: 'on-request' } : session % 2 === 1 ? { on_interrupt: 'continue' } : {};
    const { status, text } = await fleet.client.request('POST', '/api/v1/sessions', { id, ...policy });
    assert.equal(status, 201, text);
  }

  let isOver = false;
  let hasFailed = false;
  const sending = Promise.all(
    names.map(async (name, session) => {
      for (let turn = 0; turn < turnsPerSession; turn += 1)
        await history.send(promptOf(session, turn), name, { background: turn % 3 !== 0 });
    }),
  );
  sending.catch(() => (hasFailed = true)); // Awaited below.
  const deciding = (async () => {
    while (!isOver) {
      await history.whileItLives(async (client) => {
        const { body } = await client.request<ListOf<ApprovalResource>>('GET', '/api/v1/approvals?status=pending');
        for (const { id } of body.data)
          await client.request('POST', `/api/v1/approvals/${id}/decision`, { decision: 'accept' });
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  deciding.catch(() => (hasFailed = true)); // Awaited below.
  try {
    const goals = Array.from({ length: kills }, () => random.between(0, sessions * turnsPerSession - 1));
    for (const goal of goals.toSorted((one, other) => one - other)) {
      while (history.turns.length < goal && !hasFailed) await new Promise((resolve) => setTimeout(resolve, 10));
      await new Promise((resolve) => setTimeout(resolve, random.between(0, longestDelayMs)));
      if (!hasFailed) await fleet.restart();
    }
    await sending;
    const { ends, problems, turns } = await history.settle();
    assert.deepEqual(problems, []);
    const { id: last } = await fleet.client.session(names.at(-1) ?? '');
    const before: ToBeTold = new Map([
      ...turns.filter((turn) => turn.session_id === last).map((turn) => [turn.id, endOf(turn)] as const),
      [last, ['session.created']],
    ]);
    const untold = (): string[] => toldInOrder(before, receiver.accepted.filter(isPromised));
    // What has not arrived by then is told no more.
    await eventually('what it did is told', 60_000, () => untold().length === 0).catch(() =>
      assert.deepEqual(untold(), []),
    );
    const erased = await eraseUnderKill(fleet, history, last, random);
    const toBeTold: ToBeTold = new Map([
      ...turns.map((turn) => [turn.id, endOf(turn)] as const),
      ...[...new Set(turns.map((turn) => turn.session_id))].map((id) => {
        return [id, ['session.created', ...(id === erased ? ['session.deleted'] : [])]] as const;
      }),
    ]);
    const wrong = (): string[] => {
      const told = receiver.accepted;
      return [...toldInOrder(toBeTold, told.filter(isPromised)), ...questionsUntold(turns, told)];
    };
    // What failed at its second attempt, too, because the fleet died meanwhile, is due half a minute later.
    await eventually('all is told', 60_000, () => wrong().length === 0).catch(() => assert.deepEqual(wrong(), []));
    const sent = receiver.received.length;
    await fleet.restart();
    isOver = true;
    await deciding;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.deepEqual([...wrong(), ...sentInTurn(receiver.received)], []);
    assert.deepEqual(receiver.unsigned, []);
    const repeats = receiver.received.filter(({ isAccepted }) => isAccepted).length - receiver.accepted.length;
    const inWords =
      `${turns.length} turns (${countsOf(ends)}), ${receiver.accepted.length} told, ` +
      `${receiver.received.length} attempts, ${repeats} repeats of what had arrived`;
    t.diagnostic(`${fleet.starts - 1} kills, ${inWords}, ${receiver.received.length - sent} after the last`);
    assert.ok((ends['interrupted'] ?? 0) > 0, 'some were killed in mid-turn');
    assert.ok(receiver.accepted.some(({ type }) => type === 'session.recovered'));
    assertSpoiltIsSeen(turns, toBeTold, receiver);
    recordReliability({
      fault: 'kill -9 of the whole fleet while webhooks flow to a receiver that fails a quarter of the first attempts',
      count: `${fleet.starts - 1} kills, ${turns.length} turns`,
      result: `${inWords}; the end of each turn, each session and its erasure were told, in order, each repeat under its id`,
      control: 'in this history: a delivery dropped, two in the wrong order are each found',
    });
  } finally {
    isOver = true;
    await fleet.kill9();
    await deciding.catch(() => undefined);
  }
});

/** Cut short by a kill and asked for again, until it is gone. */
async function eraseUnderKill(
  fleet: RunningFleet,
  history: KeptHistory,
  id: string,
  random: SeededRandom,
): Promise<string> {
  const erase = () =>
    history.whileItLives(async (client) => (await client.request('DELETE', `/api/v1/sessions/${id}`)).status);
  const first = erase();
  await new Promise((resolve) => setTimeout(resolve, random.between(0, 60)));
  await fleet.restart();
  await first;
  await eventually('the session is erased', 30_000, async () => [200, 404].includes((await erase()) ?? 0));
  return id;
}

function endOf({ status }: TurnResource): readonly string[] {
  return [`turn.${status}`];
}

/** Beside what a turn asks, and how often its session was recovered: that depends on when it was killed. */
function isPromised({ type }: Received): boolean {
  return !askedInOrder.includes(type) && type !== 'session.recovered';
}

/** Of a turn that no kill cut short all that it asked was told before its end; of the others what was told was in order. */
function questionsUntold(turns: readonly TurnResource[], told: readonly Pick<Received, 'type' | 'data'>[]): string[] {
  return turns.flatMap((turn) => {
    if (!turn.prompt.startsWith('ask:')) return [];
    const own = told.filter((delivery) => subjectOf(delivery) === turn.id).map(({ type }) => type);
    const whole = [...askedInOrder, `turn.${turn.status}`];
    const wanted = turn.status === 'completed' ? whole : whole.filter((type) => own.includes(type));
    return own.join(' ') === wanted.join(' ')
      ? []
      : [`turn ${turn.id}: told was ${own.join(', ')} for ${wanted.join(', ')}`];
  });
}

function countsOf(ends: Readonly<Record<string, number>>): string {
  return Object.entries(ends)
    .map(([status, count]) => `${count} ${status}`)
    .join(', ');
}

/** The checks fail on this very history once something is wrong with it. */
function assertSpoiltIsSeen(turns: readonly TurnResource[], toBeTold: ToBeTold, receiver: WebhookReceiver): void {
  const told = receiver.accepted;
  const end = told.find(({ type }) => type === 'turn.completed');
  const asked = told.filter((delivery) => askedInOrder.includes(delivery.type));
  const [question] = asked;
  assert.ok(end !== undefined && question !== undefined, 'there is something to drop');
  const without = (dropped: Received) => told.filter(({ id }) => id !== dropped.id);
  assert.deepEqual(toldInOrder(toBeTold, without(end).filter(isPromised)), [
    `${subjectOf(end)}: turn.completed was not told`,
  ]);
  const completed = asked.find((delivery) =>
    turns.some(({ id, status }) => id === subjectOf(delivery) && status === 'completed'),
  );
  if (completed !== undefined) assert.equal(questionsUntold(turns, without(completed)).length, 1);
  assert.ok(questionsUntold(turns, told.toReversed()).length > 0, 'another order is seen');
  const failedFirst = { ...question, isAccepted: false, id: 'never accepted' };
  assert.ok(sentInTurn([failedFirst, ...receiver.received]).length > 0, 'who does not wait for the one before is seen');
  const created = receiver.received.filter(({ type }) => type === 'session.created');
  const [erasedLast] = receiver.received.filter(({ type, isAccepted }) => type === 'session.deleted' && isAccepted);
  assert.ok(erasedLast !== undefined, 'the erasure was told');
  const unheard = { ...erasedLast, isAccepted: false, id: 'never accepted' };
  assert.ok(sentInTurn([unheard, ...created]).length > 0, 'what is sent behind an erasure is seen');
}
