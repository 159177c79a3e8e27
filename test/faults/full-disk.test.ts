import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { exactlyOneTerminal, remembersAll } from '../../src/testing/faults/history-checks.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { eventually, within } from '../e2e/eventually.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';
import { RunningFleet } from './running-fleet.ts';
import { recordReliability } from './reliability-record.ts';
import { SmallDisk } from './small-disk.ts';
import { commandOutput } from './workspace-tree.ts';

const megabytes = 8;
const endWithinMs = 40_000;

/** Where in a turn the disk becomes full: at the first event that the test accepts; null: before it is asked for. */
const moments: Readonly<Record<string, ((event: EventOnWire) => boolean) | null>> = {
  'before the turn': null,
  'when it is queued': ({ type }) => type === 'turn.queued',
  'when it starts': ({ type }) => type === 'turn.started',
  'in its text': ({ type }) => type === 'item.delta',
  'behind its command': (event) => event.type === 'item.completed' && itemOf(event)['type'] === 'command_execution',
  'behind its last word': (event) => event.type === 'item.completed' && itemOf(event)['text'] === 'the last word',
};

/** Long enough in each part that what fills the disk comes in between. */
const prompt = [
  'stream: 15 words at 20 ms',
  'run: head -c 20000 /dev/urandom > file.bin; echo kept >> kept.txt',
  'wait: 300 ms',
  'say: the last word',
].join('\n');

function itemOf(event: EventOnWire): Readonly<Record<string, unknown>> {
  return (event['item'] ?? {}) as Readonly<Record<string, unknown>>;
}

type Told = { readonly status: string; readonly code: string | null; readonly turnId: string | null };

/** Sends the prompt and fills the disk at the moment; what the client is told of it in the end. */
async function tell(
  client: FleetClient,
  disk: SmallDisk,
  session: string,
  moment: (typeof moments)[string],
): Promise<Told> {
  if (moment === null) disk.fill();
  const answer = await client.exec({ prompt, session_id: session, background: true });
  if (answer.status !== 202) {
    const { code } = answer.body as unknown as { code: string };
    return { status: `refused ${answer.status}`, code, turnId: null };
  }
  const { session_id: sessionId, turn_id: turnId } = answer.body;
  if (moment !== null && moment !== undefined) {
    for await (const { data } of client.sse(`/api/v1/sessions/${sessionId}/events?turn_id=${turnId}`)) {
      if (!moment(data) && !isTerminalEventType(data.type)) continue;
      disk.fill();
      break;
    }
  }
  const ended = await client.turnEnded(sessionId, turnId, endWithinMs);
  return { status: ended.status, code: ended.error?.code ?? null, turnId };
}

test('a disk that is full at any moment of a turn is said to be, and the session goes on once there is room [storage-honest]', {
  timeout: 230_000,
}, async (t) => {
  const disk = SmallDisk.mount(t, megabytes);
  if (disk === null) {
    t.skip('this user may not mount a tmpfs');
    return;
  }
  await using oracle = await OracleModel.start();
  await using fleet = await RunningFleet.start({
    dataDir: disk.dataDir,
    beside: disk.beside,
    flags: ['--storage', 'sqlite', '--slots', '1', '--warm-slots', '1', ...oracle.flags],
  });
  const outcomes: string[] = [];
  for (const [name, moment] of Object.entries(moments)) {
    const session = name.replaceAll(' ', '-');
    const before = `say: ${name}`;
    const { session_id: sessionId } = await fleet.client.completed(before, session);
    const told = await tell(fleet.client, disk, session, moment);
    const isCompleted = told.status === 'completed';
    if (!isCompleted) assert.equal(told.code, 'storage_full', `full ${name}: ${told.status}`);

    disk.empty();
    // What was called completed must have been kept, however little room there was: a kill shows it.
    if (isCompleted) await fleet.restart();
    const { client } = fleet;
    const emptiedAtMs = performance.now();
    await goesOn(client, session, `say: again, ${name}`);
    const waitedMs = Math.round(performance.now() - emptiedAtMs);
    t.diagnostic(`full ${name}: ${told.status}, ${told.code}; went on ${waitedMs} ms after there was room`);
    outcomes.push(told.code ?? told.status);
    const again = oracle.callsOf(`say: again, ${name}`).at(-1);
    assert.ok(again !== undefined);
    assert.deepEqual(remembersAll([again], [before, ...(isCompleted ? [prompt] : []), again.prompt]), []);
    if (told.turnId !== null) {
      const turn = { sessionId, turnId: told.turnId, prompt };
      const events = new Map([[sessionId, await within('the log is read', endWithinMs, client.pages(sessionId))]]);
      assert.deepEqual(exactlyOneTerminal([turn], events, [{ turnId: turn.turnId, status: told.status }]), []);
    }
    const kept = await commandOutput(client, sessionId, 'cat kept.txt; echo works');
    assert.match(kept, isCompleted ? /^kept\nworks\n$/ : /works\n$/, `full ${name}`);
    // Room for the next: the disk is small, and this session has served.
    await client.request('DELETE', `/api/v1/sessions/${sessionId}`);
  }

  // The reserve is looked after every few seconds: until then the answer is still 507.
  await eventually('a turn is taken again', endWithinMs, async () => {
    const { status, body } = await fleet.client.exec({ prompt: 'say: before the start', session_id: 'started' });
    return status === 200 && body.status === 'completed';
  });
  await fleet.kill9();
  disk.fill();
  const startedAtMs = performance.now();
  await fleet.restart();
  t.diagnostic(`started on a full disk in ${Math.round(performance.now() - startedAtMs)} ms`);
  // What the life before left in its slots was room for the start.
  disk.fill();
  await eventually('a turn is refused', endWithinMs, async () => {
    const { status, body } = await fleet.client.exec({ prompt: 'say: no', session_id: 'started' });
    if (status === 200) assert.equal(body.error?.code, 'storage_full');
    return status === 507;
  });
  disk.empty();
  const recall = 'say: after the start';
  await goesOn(fleet.client, 'started', recall);
  assert.deepEqual(remembersAll(oracle.callsOf(recall), ['say: before the start', recall]), []);
  recordReliability({
    fault: 'the disk full before, in and at the end of a turn, and at the start of the fleet',
    count: `${outcomes.length} moments, 1 start`,
    result: `said (${outcomes.join(', ')}); what was called completed outlived a kill; each session went on once there was room`,
    control: 'a lost prompt or a second end of a turn is found by the same checks (history-checks.test.ts)',
  });
});

async function goesOn(client: FleetClient, session: string, prompt: string): Promise<void> {
  let last = '';
  await eventually('the session goes on', endWithinMs, async () => {
    const { status, body, text } = await client.exec({ prompt, session_id: session });
    last = text;
    if (status === 200 && body.status === 'completed') return true;
    await new Promise((resolve) => setTimeout(resolve, 250));
    return false;
  }).catch((error: unknown) => assert.fail(`${String(error)}; at last: ${last}`));
}
