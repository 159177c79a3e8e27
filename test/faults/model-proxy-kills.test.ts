import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { liveTextEquals } from '../../src/testing/faults/history-checks.ts';
import { words } from '../e2e/event-checks.ts';
import { eventually } from '../e2e/eventually.ts';
import { descendantsOf, type ProcessFacts } from '../e2e/processes.ts';
import { newDataDir } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

function modelProxyOf(fleet: RunningFleet): ProcessFacts | null {
  const isProxy = ({ args }: ProcessFacts): boolean => args.some((arg) => arg.includes('model-proxy-child'));
  return descendantsOf(fleet.pid).find(isProxy) ?? null;
}

/** Answers when another one runs. */
async function killModelProxy(fleet: RunningFleet): Promise<void> {
  const proxy = modelProxyOf(fleet) ?? assert.fail('the fleet has a model proxy');
  process.kill(proxy.pid, 'SIGKILL');
  await eventually(
    'the model proxy is started again',
    10_000,
    () => (modelProxyOf(fleet)?.pid ?? proxy.pid) !== proxy.pid,
  );
}

test('turns go on when the model proxy is killed in mid-answer, and no character doubles [text-undoubled]', async (t) => {
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t) });
  const { client } = fleet;
  const sessions = ['a', 'b', 'c', 'd'];
  // Bound, so that the answers begin together.
  await Promise.all(sessions.map((session_id) => client.exec({ prompt: 'say: hello', session_id })));
  const prompt = 'stream: 60 words at 50 ms';
  const running = sessions.map((session_id) => client.exec({ prompt, session_id }));
  await sleep(1_200);
  await killModelProxy(fleet);
  for (const { body, text } of await Promise.all(running)) {
    assert.equal(body.status, 'completed', text);
    const events = (await client.pages(body.session_id)).filter(({ turn_id }) => turn_id === body.turn_id);
    assert.deepEqual(liveTextEquals(words(60), events), []);
    assert.ok(
      events.some(({ type }) => type === 'item.superseded'),
      'the answer was cut in its middle',
    );
  }
  const next = await client.exec({ prompt: 'say: and on', session_id: 'a' });
  assert.deepEqual([next.body.status, next.body.stdout], ['completed', 'and on']);
  recordReliability({
    fault: 'kill -9 of the model proxy in mid-answer',
    count: `1 kill, ${sessions.length} answers`,
    result: 'all completed; the cut item is superseded, no character doubled',
    control: 'each answer was cut in its middle; doubled text is found (upstream-cuts.test.ts)',
  });
});

test('a turn that begins while the model proxy is away begins when it is back', async (t) => {
  await using fleet = await RunningFleet.start({ dataDir: newDataDir(t) });
  await fleet.client.exec({ prompt: 'say: hello', session_id: 'a' });
  const restarted = killModelProxy(fleet);
  const answers = await Promise.all(
    ['a', 'new'].map((session_id) => fleet.client.exec({ prompt: 'say: here', session_id })),
  );
  await restarted;
  for (const { body, text } of answers) assert.deepEqual([body.status, body.stdout], ['completed', 'here'], text);
});
