// What a worker does when the log loses what it had between two events of a session: nobody has noticed yet.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, test } from 'node:test';
import type { EventLog, LogKey } from '../contracts/event-log.ts';
import { isTerminalEventType } from '../core/event.ts';
import { WorkerStage } from '../testing/scripted-codex/worker-stage.ts';

let stage: WorkerStage;
afterEach(() => stage.close());

/** Its events are gone, and it says so until it is opened again. */
async function lose(log: EventLog, key: LogKey): Promise<void> {
  await log.erase(key);
  const append = log.append.bind(log);
  const open = log.open.bind(log);
  log.append = async () => ({ outcome: 'log_lost' });
  log.open = async (...args) => {
    log.append = append;
    log.open = open;
    return open(...args);
  };
}

test('files that are changed after the log was lost are kept, and the end of the last turn with them', async () => {
  stage = await WorkerStage.open({ mayLogBeLost: true });
  const key = await stage.start(await stage.newSession());
  await stage.ended(key);
  const before = await stage.events(key);
  await lose(stage.log, key);
  await stage.worker.changeFiles(key, (ws) => writeFile(path.join(ws, 'note'), 'kept'));
  const { snapshot } = await stage.session(key);
  assert.ok(snapshot !== null);
  assert.equal(snapshot.lastSeq, before.at(-1)?.['seq']);
  const behind = (await stage.snapshots.readSealed(key, snapshot, 0, 1_000)).events;
  assert.equal(behind.filter(({ header }) => isTerminalEventType(header.type)).length, 1);
  assert.deepEqual(
    behind.map(({ header }) => header.seq),
    before.map(({ seq }) => seq),
  );
});
