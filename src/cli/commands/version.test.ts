import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import { runCli } from '../program.ts';

test('version names the three programs, as words or as JSON', async () => {
  const words = createFakeCli();
  assert.equal(await runCli(words.context, ['version']), 0);
  assert.match(words.stdout(), /^codex-fleet \d+\.\d+\.\d+\ncodex \d+\.\d+\.\d+\nnode \d+\.\d+\.\d+\n$/);

  const json = createFakeCli();
  await runCli(json.context, ['version', '--json']);
  assert.deepEqual(Object.keys(JSON.parse(json.stdout()) as object), ['codex-fleet', 'codex', 'node']);
});

test('help is on stdout and leaves with 0', async () => {
  const cli = createFakeCli();
  assert.equal(await runCli(cli.context, ['up', '--help']), 0);
  assert.match(cli.stdout(), /--warm-slots <value>/);
  assert.equal(cli.stdout().includes('--worker-port'), false);
});
