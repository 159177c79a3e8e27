import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import type { FakeCli } from '../../testing/fake-cli-context.ts';
import type { RunningFleet } from '../../app/embedded.ts';
import { runCli } from '../program.ts';

type FakeFleet = { readonly fleet: RunningFleet; readonly stops: boolean[]; endStop(): void; fail(error: Error): void };

function fakeFleet(): FakeFleet {
  const stops: boolean[] = [];
  const stopped = Promise.withResolvers<void>();
  const done = Promise.withResolvers<void>();
  return {
    stops,
    endStop: stopped.resolve,
    fail: done.reject,
    fleet: {
      url: 'http://127.0.0.1:1',
      token: 't',
      firstScreen: ['url http://127.0.0.1:1'],
      done: done.promise,
      stop: async (options) => {
        stops.push(options?.force === true);
        if (options?.force !== true) await stopped.promise;
      },
    },
  };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

async function startUp(fake: FakeFleet): Promise<{ cli: FakeCli; running: Promise<number> }> {
  const cli = createFakeCli({ parts: { startEmbedded: async () => fake.fleet } });
  const running = runCli(cli.context, ['up']);
  await until(() => cli.stdout().endsWith('ready\n'));
  return { cli, running };
}

test('up prints the first screen and ready on stdout; a signal drains and leaves with 0', async () => {
  const fake = fakeFleet();
  const { cli, running } = await startUp(fake);
  assert.equal(cli.stdout(), 'url http://127.0.0.1:1\nready\n');
  cli.interrupt();
  // npm passes on the Ctrl-C that the terminal has sent already: that is no second one.
  cli.interrupt();
  fake.endStop();
  assert.equal(await running, 0);
  assert.deepEqual(fake.stops, [false]);
});

test('a second signal during the drain kills and leaves with 130', async () => {
  const fake = fakeFleet();
  const { cli, running } = await startUp(fake);
  cli.interrupt();
  await until(() => fake.stops.length === 1);
  cli.clock.advance(1000);
  cli.interrupt();
  assert.equal(await running, 130);
  assert.deepEqual(fake.stops, [false, true]);
});

test('a signal during the start stops the fleet as soon as it is up, without calling it ready', async () => {
  const fake = fakeFleet();
  fake.endStop();
  const started = Promise.withResolvers<RunningFleet>();
  const cli = createFakeCli({ parts: { startEmbedded: () => started.promise } });
  const running = runCli(cli.context, ['up']);
  cli.interrupt();
  started.resolve(fake.fleet);
  assert.equal(await running, 0);
  assert.equal(cli.stdout(), '');
});

test('a fleet that falls over leaves with 1 and says why', async () => {
  const fake = fakeFleet();
  const { cli, running } = await startUp(fake);
  fake.fail(new Error('the disk is gone'));
  assert.equal(await running, 1);
  assert.match(cli.stderr(), /the disk is gone/);
});

test('a taken port is named with the pid of its owner and leaves with 2', async (t) => {
  const owner = createServer();
  await new Promise<void>((resolve) => owner.listen(0, '127.0.0.1', resolve));
  t.after(() => owner.close());
  const { port } = owner.address() as AddressInfo;
  const cli = createFakeCli({
    parts: {
      startEmbedded: async () => {
        const second = createServer();
        return await new Promise<never>((_resolve, reject) => {
          second.once('error', reject);
          second.listen(port, '127.0.0.1');
        });
      },
    },
  });
  assert.equal(await runCli(cli.context, ['up']), 2);
  assert.match(
    cli.stderr(),
    new RegExp(`^codex-fleet: port ${port} on 127\\.0\\.0\\.1 is in use by process ${process.pid}; .*--port`),
  );
});

test('a data directory in use leaves with 2 and its owner', async () => {
  const inUse = Object.assign(new Error('the data directory /d is in use by process 7'), { name: 'DataDirInUse' });
  const cli = createFakeCli({ parts: { startEmbedded: () => Promise.reject(inUse) } });
  assert.equal(await runCli(cli.context, ['up']), 2);
  assert.equal(
    cli.stderr(),
    'codex-fleet: the data directory /d is in use by process 7; stop it, or choose another with --data-dir\n',
  );
});

test('settings reach the fleet from flags, and all that is wrong with them is said before it starts', async () => {
  const fake = fakeFleet();
  let port: number | null = null;
  const cli = createFakeCli({
    parts: {
      startEmbedded: async (config) => {
        port = config.server.port;
        return fake.fleet;
      },
    },
  });
  fake.endStop();
  const running = runCli(cli.context, ['up', '--port', '0', '--slots=3']);
  await until(() => cli.stdout() !== '');
  cli.interrupt();
  assert.deepEqual([await running, port], [0, 0]);

  const wrong = createFakeCli();
  assert.equal(await runCli(wrong.context, ['up', '--port', 'x', '--slots', '0']), 2);
  assert.match(wrong.stderr(), /^The configuration has 2 problems:\n {2}server\.port.*\n {2}worker\.slots.*\n$/);
});
