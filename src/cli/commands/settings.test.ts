import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../../app/doctor-check.ts';
import { allSettings } from '../../config/load.ts';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import { runCli } from '../program.ts';

test('config show prints every setting that is in effect, and with --origin where it came from', async () => {
  const env = { CODEX_FLEET_HOST: '127.0.0.9', REDIS_URL: 'redis://user:hush@h:6379' };
  const cli = createFakeCli({ env });
  assert.equal(await runCli(cli.context, ['config', 'show', '--origin', '--port', '9']), 0);
  const lines = cli.stdout().trimEnd().split('\n');
  assert.equal(lines.length, allSettings.length + 1);
  const lineOf = (key: string): string[] => lines.find((line) => line.startsWith(`${key} `))?.split(/ {3,}/) ?? [];
  assert.deepEqual(lineOf('server.port'), ['server.port', '9', '--port']);
  assert.deepEqual(lineOf('server.host'), ['server.host', '"127.0.0.9"', 'CODEX_FLEET_HOST']);
  assert.deepEqual(lineOf('storage'), ['storage', '"sqlite"', 'default']);
  assert.deepEqual(lineOf('redis.url'), ['redis.url', '"(hidden)"', 'REDIS_URL']);
  assert.equal(cli.stdout().includes('hush'), false);
});

test('config show --json has the origin of each, and hides a password in any URL', async () => {
  const cli = createFakeCli({ env: { CODEX_FLEET_BASE_URL: 'http://me:hush@h/v1', CODEX_FLEET_MODEL: 'm' } });
  assert.equal(await runCli(cli.context, ['config', 'show', '--json']), 0);
  const { file, settings } = JSON.parse(cli.stdout()) as { file: null; settings: { key: string; value: unknown }[] };
  assert.equal(file, null);
  assert.deepEqual(
    settings.find(({ key }) => key === 'model.base_url'),
    {
      key: 'model.base_url',
      value: 'http://(hidden)@h/v1',
      origin: { source: 'environment', name: 'CODEX_FLEET_BASE_URL' },
    },
  );
  assert.equal(cli.stdout().includes('hush'), false);
});

test('config check says that all is well, or every problem and 2', async () => {
  const well = createFakeCli();
  assert.equal(await runCli(well.context, ['config', 'check']), 0);
  assert.match(well.stdout(), /^the configuration is in order/);
  const ill = createFakeCli({ env: { CODEX_FLEET_SLOTS: 'many' } });
  assert.equal(await runCli(ill.context, ['config', 'check', '--port', '-1']), 2);
  assert.match(ill.stderr(), /has 2 problems/);
});

const checks: readonly Check[] = [
  { name: 'node', status: 'ok', message: 'Node 24', advice: null },
  { name: 'disk', status: 'warn', message: 'only 2 GiB', advice: 'free space' },
];
const bad: Check = { name: 'port', status: 'fail', message: 'port 8080 is in use', advice: 'choose another' };

test('doctor leaves with 0 while nothing fails, and says what to do about the rest', async () => {
  const cli = createFakeCli({ parts: { diagnose: async () => checks } });
  assert.equal(await runCli(cli.context, ['doctor']), 0);
  assert.match(
    cli.stdout(),
    /^ok +config .*\nok +node +Node 24\nwarn +disk +only 2 GiB\n +→ free space\n\na fleet can run here, with 1 warning\n$/,
  );
});

test('doctor leaves with 1 when a check fails, as JSON too', async () => {
  const cli = createFakeCli({ parts: { diagnose: async () => [...checks, bad] } });
  assert.equal(await runCli(cli.context, ['doctor', '--json']), 1);
  const answer = JSON.parse(cli.stdout()) as { ok: boolean; checks: Check[] };
  assert.equal(answer.ok, false);
  assert.deepEqual(answer.checks.slice(1), [...checks, bad]);
});

test('doctor takes settings that cannot be for a failed check', async () => {
  const cli = createFakeCli({ env: { CODEX_FLEET_SLOTS: 'many' } });
  assert.equal(await runCli(cli.context, ['doctor']), 1);
  assert.match(cli.stdout(), /^fail +config +worker\.slots .*"many"/);
});
