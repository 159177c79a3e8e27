import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import { startGateway, token, type GatewayFixture } from '../../testing/gateway-fixture.ts';
import { runCli } from '../program.ts';

type Ran = readonly [code: number, stdout: string, stderr: string];

async function startFleet(t: TestContext): Promise<{ fleet: GatewayFixture; run(...args: string[]): Promise<Ran> }> {
  const fleet = await startGateway(t);
  const run = async (...args: string[]): Promise<Ran> => {
    const cli = createFakeCli({ parts: { discoverFleet: async () => ({ url: fleet.url, token }) } });
    const code = await runCli(cli.context, args);
    return [code, cli.stdout(), cli.stderr()];
  };
  return { fleet, run };
}

test('sessions steer gives a prompt to the turn that runs, or to the one that is named', async (t) => {
  const { fleet, run } = await startFleet(t);
  const { worker, records } = fleet;
  assert.deepEqual(await run('sessions', 'steer', 'mine', 'left'), [
    2,
    '',
    'codex-fleet: No session of this tenant has that id or alias; it may have been deleted.\n',
  ]);
  await fleet.post('/api/v1/exec', { prompt: 'hold', session_id: 'mine', background: true });
  const turn = worker.taken[0] ?? '';
  while ((await records.turns.get('default', turn))?.status !== 'running')
    await new Promise((resolve) => setImmediate(resolve));

  assert.deepEqual(await run('sessions', 'steer', 'mine', 'left'), [0, `given to turn ${turn}\n`, '']);
  const [code, json] = await run('sessions', 'steer', 'mine', 'right', '--turn', turn, '--json');
  assert.deepEqual([code, (JSON.parse(json) as { id: string }).id], [0, turn]);
  assert.deepEqual(
    worker.steered.map(({ text, turnId }) => [text, turnId]),
    [
      ['left', turn],
      ['right', turn],
    ],
  );
  worker.release(turn);
  await worker.settled();
  assert.deepEqual(await run('sessions', 'steer', 'mine', 'up'), [
    1,
    '',
    'codex-fleet: no turn runs in session mine\n',
  ]);
  assert.equal((await run('sessions', 'steer', 'mine', 'up', '--turn', turn))[0], 1);
});

test('sessions hibernate and wake say how each session stands then', async (t) => {
  const { fleet, run } = await startFleet(t);
  for (const id of ['one', 'two']) await fleet.post('/api/v1/sessions', { id });
  const [code, stdout] = await run('sessions', 'hibernate', 'one', 'two');
  assert.equal(code, 0);
  assert.match(stdout, /^[0-9a-f-]{36} hibernated\n[0-9a-f-]{36} hibernated\n$/);
  const [, woken] = await run('sessions', 'wake', 'one', '--json');
  assert.deepEqual((JSON.parse(woken) as { status: string }).status, 'idle');

  await fleet.post('/api/v1/exec', { prompt: 'hold', session_id: 'one', background: true });
  const [busy, , why] = await run('sessions', 'hibernate', 'one');
  assert.equal(busy, 1);
  assert.match(why, /running turn or command/);
  fleet.worker.release(fleet.worker.taken[0] ?? '');
});
