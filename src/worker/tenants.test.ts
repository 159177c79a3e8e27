import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';
import { turnRecord } from '../testing/stored-records.ts';

let stage: WorkerStage;
afterEach(() => stage.close());

const endless: StageOptions = { scripts: [{ on: { 'turn/start': [[{ playTurnWithoutEnd: 'so far' }]] } }, {}] };
const reserved = (error: unknown): boolean => isServiceError(error, 'worker_reserved');

/** With one slot, as where no cage can be made. `wanted` counts the calls for its replacement. */
async function openUncaged(options: StageOptions = {}): Promise<{ wanted: number }> {
  const calls = { wanted: 0 };
  stage = await WorkerStage.open({
    ...{ slots: 1, outlivesUs: true },
    ...options,
    onWanted: () => {
      calls.wanted += 1;
    },
  });
  return calls;
}

test("another tenant's turn, command and recovery are refused, and nothing of them is taken", async () => {
  const calls = await openUncaged();
  const own = await stage.newSession({ tenant: 'ana' });
  await stage.ended(await stage.start(own));
  const session = await stage.newSession({ tenant: 'bob' });
  const turn = turnRecord({ tenant: 'bob', sessionId: session.id, id: mintId() });
  await stage.records.turns.create(turn);
  const key = { tenant: 'bob', sessionId: session.id };
  await assert.rejects(stage.worker.startTurn({ ...key, turnId: turn.id }), reserved);
  await assert.rejects(stage.worker.runCommand({ key, command: ['id'], timeoutMs: 1_000 }), reserved);
  await assert.rejects(stage.worker.recoverSession(key), reserved);
  assert.throws(() => stage.worker.admit('bob'), reserved);
  assert.equal(calls.wanted, 0);
  assert.deepEqual(
    [(await stage.turn({ ...key, turnId: turn.id })).status, (await stage.session(key)).epoch],
    ['queued', 1],
  );
  assert.equal(await stage.directory.lookup('bob', session.id), null);
  assert.equal((await stage.worker.status()).reservedFor, 'ana');
  // It had three seconds to know whose this worker is.
  await stage.pass(3_000);
  await assert.rejects(stage.worker.startTurn({ ...key, turnId: turn.id }), reserved);
  assert.equal(calls.wanted, 1);
  assert.equal((await stage.ended(await stage.start(own))).status, 'completed');
});

test('whom it does not serve it still erases', async () => {
  await openUncaged();
  await stage.ended(await stage.start(await stage.newSession({ tenant: 'ana' })));
  const session = await stage.newSession({ tenant: 'bob' });
  await stage.worker.eraseSession({ tenant: 'bob', sessionId: session.id });
});

test('a worker that leaves lets its turn end however long it takes, takes no other, and keeps none that waits', async () => {
  await openUncaged(endless);
  const session = await stage.newSession({ tenant: 'ana' });
  const running = await stage.start(session, { timeoutMs: 3_600_000 });
  await stage.running(running);
  const waiting = await stage.start(session);
  let hasLeft = false;
  const leaving = stage.worker.leave().then(() => (hasLeft = true));
  await assert.rejects(stage.start(session), (error: unknown) => isServiceError(error, 'draining'));
  await stage.pass(600_000);
  assert.deepEqual([hasLeft, (await stage.turn(running)).status], [false, 'running']);
  assert.equal((await stage.turn(waiting)).status, 'queued');
  assert.equal((await stage.worker.status()).state, 'draining');
  await stage.worker.cancelTurn(running);
  await leaving;
  assert.equal((await stage.turn(waiting)).status, 'queued');
  // For whoever takes the session next: nobody has it any more.
  await stage.until(async () => (await stage.directory.lookup('ana', session.id)) === null);
});

test('a stop ends what a worker that leaves was waiting for', async () => {
  await openUncaged(endless);
  const running = await stage.start(await stage.newSession({ tenant: 'ana' }), { timeoutMs: 3_600_000 });
  await stage.running(running);
  const leaving = stage.worker.leave();
  await stage.stop();
  await leaving;
  assert.equal((await stage.turn(running)).status, 'interrupted');
});

test('a worker with cages serves every tenant', async () => {
  stage = await WorkerStage.open({ slots: 1 });
  for (const tenant of ['ana', 'bob'])
    assert.equal((await stage.ended(await stage.start(await stage.newSession({ tenant })))).status, 'completed');
  assert.equal((await stage.worker.status()).reservedFor, null);
});
