// A store that fails once, at any call that taking and recovering a session makes: nothing stays open for
// ever, nobody keeps a session that he does not serve.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { SessionRecord } from '../core/session.ts';
import type { Script } from '../testing/scripted-codex/script.ts';
import { type StageOptions, WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

const hangs: Script = { on: { 'turn/start': [[{ playTurnWithoutEnd: 'half' }]] } };

/** A worker that dies in mid-turn, one turn behind it, with a file half done. */
async function lostInMidTurn(): Promise<{ lost: WorkerStage; session: SessionRecord; turnIds: readonly string[] }> {
  const lost = await WorkerStage.open({ scripts: [hangs] });
  const session = await lost.newSession();
  const running = await lost.start(session);
  await lost.running(running);
  const waiting = await lost.start(session);
  const [claim] = (await lost.slotDirs()).filter((name) => name.endsWith('.json'));
  assert.ok(claim);
  await writeFile(path.join(lost.root, 'slots', claim.replace('.json', ''), 'ws', 'half-done.txt'), 'half');
  await lost.die();
  return { lost, session, turnIds: [running.turnId, waiting.turnId] };
}

/** Waits for what waits for the clock. What a store refused is refused. */
async function inTime(stage: WorkerStage, work: Promise<void>): Promise<void> {
  let isOver = false;
  const over = work
    .catch((error: unknown) => assert.ok(error instanceof ServiceError, String(error)))
    .finally(() => {
      isOver = true;
    });
  while (!isOver) await stage.pass(1_000);
  await over;
}

const endsTold = async (stage: WorkerStage, key: SessionKey): Promise<string[]> =>
  (await stage.story(key)).filter((type) => /^turn\.(?!queued|started)/.test(type));

/** How many calls a whole recovery makes; with `failing`, that one is refused. */
async function recovered(failing: number | null): Promise<number> {
  const { lost, session, turnIds } = await lostInMidTurn();
  const options: StageOptions = { after: lost, ...(failing === null ? {} : { failingCall: failing }) };
  const stage = await WorkerStage.open(options);
  const key = { tenant: session.tenant, sessionId: session.id };
  // As the housekeeper does: again, while somebody must look after it.
  const ends = await stage.until(async () => {
    await inTime(stage, stage.worker.recoverSession(key));
    const turns = await Promise.all(turnIds.map((turnId) => stage.turn({ ...key, turnId })));
    const isTold = (await endsTold(stage, key)).length >= turnIds.length;
    return isTold && turns.every(({ endedAt }) => endedAt !== null) ? turns : null;
  });
  const [first, second] = ends;
  // The refused call may be one with which the turn behind it was to begin.
  const wasRefused = second?.error?.code === 'store_unavailable';
  const expected = ['interrupted', wasRefused ? 'failed' : 'completed'];
  assert.deepEqual([first?.status, second?.status], expected, `call ${failing}`);
  assert.deepEqual(
    await endsTold(stage, key),
    expected.map((status) => `turn.${status}`),
    `call ${failing}`,
  );
  let files: string[] = [];
  await inTime(
    stage,
    stage.worker.changeFiles(key, async (ws) => {
      files = await WorkerStage.listing(ws);
    }),
  );
  assert.deepEqual(files, ['half-done.txt'], `call ${failing}`);
  const calls = stage.storeCalls;
  await stage.close();
  return calls;
}

test('each call to a store that a takeover makes may fail once', async () => {
  const calls = await recovered(null);
  assert.ok(calls > 10, String(calls));
  // The later ones are those of the turn that ran then; its own tests speak of them.
  for (let call = 1; call <= Math.min(calls, 24); call++) await recovered(call);
});
