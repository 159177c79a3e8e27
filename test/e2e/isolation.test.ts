import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { memoryHolds } from './process-memory.ts';
import { ModelStub } from './model-stub.ts';
import { describe, descendantsOf, isCodex, readProcFile } from './processes.ts';
import { useFleet } from './use-fleet.ts';

const keyVariable = 'E2E_MODEL_KEY';
const key = `sk-e2e-${randomBytes(24).toString('hex')}`;
const otherSecret = `other-${randomBytes(24).toString('hex')}`;

let stub: ModelStub;
const fleet = useFleet(async () => {
  stub = await ModelStub.start(key);
  return {
    args: ['--model-provider', 'responses', '--base-url', stub.url, '--model', 'demo', '--api-key-env', keyVariable],
    env: { [keyVariable]: key, OTHER_SECRET: otherSecret },
  };
});
after(async () => {
  await stub.close();
});

const sandboxes = ['workspace-write', 'danger-full-access'] as const;

test('the provider is sent the key by the fleet, and nothing that only Codex knows [key-secret]', async () => {
  const { client } = fleet();
  assert.equal((await client.completed('say: through the stub')).stdout, 'through the stub');
  assert.ok(stub.calls.length > 0);
  for (const call of stub.calls) assert.equal(call.authorization, `Bearer ${key}`);
  for (const call of stub.calls) assert.ok(!call.headers.includes(client.token), 'our own token stays here');
});

for (const sandbox of sandboxes) {
  test(`a command finds the key nowhere (${sandbox}), by a search that finds what is there [key-secret]`, async () => {
    const sessionId = `searching-${sandbox}`;
    await createSession(sessionId, sandbox);
    assert.deepEqual(await search(sessionId, key), []);
    assert.deepEqual(await search(sessionId, otherSecret), [], 'nor anything else of the fleet’s environment');
    // The control: the same search finds a decoy in a file and in a process's environment.
    const decoy = `decoy-${randomBytes(24).toString('hex')}`;
    await fleet().client.completed(`write: decoy.txt: ${decoy}`, sessionId);
    assert.ok((await search(sessionId, decoy)).some((file) => file.endsWith('/s/ws/decoy.txt')));
    const inEnvironment = await search(
      sessionId,
      decoy.toUpperCase(),
      `DECOY=${decoy.toUpperCase().slice(0, 20)}${decoy.toUpperCase().slice(20)}`,
    );
    assert.ok(
      inEnvironment.some((file) => /^\/proc\/\d+\/environ$/.test(file)),
      inEnvironment.join('\n'),
    );
  });

  test(`a command sees neither the data directory, nor another session, nor a home of the host (${sandbox}) [cage-files]`, async () => {
    const { client, dataDir, home } = fleet();
    const mark = `mark${randomBytes(8).toString('hex')}`;
    writeFileSync(path.join(home, `${mark}-home.txt`), 'of the host');
    await client.completed(`write: ${mark}-other.txt: of another session`, `other-of-${sandbox}`);
    const sessionId = `looking-${sandbox}`;
    await createSession(sessionId, sandbox);
    await client.completed(`write: ${mark}-own.txt: of this session`, sessionId);

    const found = await run(sessionId, `find / -name '${mark}*' -not -path '/proc/*' 2>/dev/null; true`);
    assert.deepEqual(
      lines(found).filter((line) => line.includes(mark)),
      [`/s/ws/${mark}-own.txt`],
    );
    const viaProc = await run(
      sessionId,
      `cat /proc/*/root${home}/${mark}-home.txt /proc/*/cwd/${mark}-other.txt 2>/dev/null; true`,
    );
    assert.doesNotMatch(viaProc, /of the host|of another session/);
    for (const directory of [dataDir, path.dirname(dataDir), home, homedir(), '/root', '/home']) {
      const listed = await run(sessionId, `ls -A '${directory}' 2>/dev/null; true`);
      assert.equal(listed.trim(), '', `${directory} has nothing in it`);
    }
  });

  test(`a command reaches no port of the host’s loopback (${sandbox}) [cage-network]`, async () => {
    const sessionId = `reaching-${sandbox}`;
    await createSession(sessionId, sandbox);
    for (const url of [fleet().client.url, stub.url]) {
      const { port } = new URL(url);
      const said = await run(
        sessionId,
        `timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port} && echo REACHED' 2>&1 || echo refused`,
      );
      assert.match(said, /refused/);
      assert.doesNotMatch(said, /REACHED/);
    }
  });

  test(`a command sees no process of the host (${sandbox}) [cage-files]`, async () => {
    const sessionId = `processes-${sandbox}`;
    await createSession(sessionId, sandbox);
    const listed = await run(sessionId, `cat /proc/[0-9]*/cmdline | tr '\\0' ' '`);
    assert.ok(!listed.includes('main.ts') && !listed.includes(fleet().dataDir), listed);
  });
}

test('Codex on the host has the key neither in its arguments, nor its environment, nor its memory [key-secret]', async () => {
  const { client, pid } = fleet();
  await client.completed('say: bound');
  const processes = descendantsOf(pid);
  const codexes = processes.filter(isCodex);
  assert.ok(codexes.length > 0, describe(processes));
  for (const one of processes) assert.ok(!one.args.join(' ').includes(key), 'no command line has it');
  const modelProxy = processes.find((one) => one.args.some((arg) => /model-proxy-child/.test(arg)));
  assert.ok(modelProxy !== undefined, describe(processes));
  for (const one of processes.filter(({ pid: other }) => other !== modelProxy.pid)) {
    assert.ok(!readProcFile(one.pid, 'environ').includes(key), `the environment of ${describe([one])}`);
  }
  // The control: the one process that must hold the key does, so the search of memory can see it.
  assert.equal(memoryHolds(modelProxy.pid, key), true);
  for (const codex of codexes) assert.equal(memoryHolds(codex.pid, key), false, describe([codex]));
});

test('neither the logs, nor the screen, nor any file of the data directory has the key [key-secret]', async () => {
  const { client, dataDir, log, screen } = fleet();
  await client.completed('say: one more');
  assert.ok(log.length > 0 && !log.includes(key) && !log.includes(otherSecret));
  assert.ok(!screen.includes(key));
  const files = globSync('**', { cwd: dataDir, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length > 3);
  for (const file of files) {
    const name = path.join(file.parentPath, file.name);
    assert.equal(readFileSync(name).includes(key), false, name);
  }
});

async function createSession(id: string, sandbox: (typeof sandboxes)[number]): Promise<void> {
  const { status, text } = await fleet().client.request('POST', '/api/v1/sessions', { id, sandbox });
  assert.equal(status, 201, text);
}

/** Through a turn, as the model's commands are run: what they print is in the answer. */
async function run(sessionId: string, command: string): Promise<string> {
  const { stdout } = await fleet().client.completed(`run: ${command}`, sessionId);
  return (
    /^Ran `[\s\S]*?`(?: \(exit code \d+\))?(?:, no output\.$|:\n([\s\S]*)$)/.exec(stdout)?.[1] ??
    (stdout.endsWith('no output.') ? '' : stdout)
  );
}

/**
 * Files and processes that hold the text, as a command can see them. It is given in halves, so that the
 * search does not find its own command line, nor the prompt in Codex's history.
 */
async function search(sessionId: string, needle: string, environment = ''): Promise<string[]> {
  const [head, tail] = [needle.slice(0, 20), needle.slice(20)];
  const split = environment === '' ? '' : `export DECOY=$(printf '%s%s' '${head}' '${tail}'); sleep 2 & `;
  const places = '/s /etc /tmp /var /run /home /root /dev/shm /opt /srv /mnt';
  const command = `${split}printf '%s%s' '${head}' '${tail}' > /dev/null; { printf '%s%s' '${head}' '${tail}' | grep -rlaFs -f - ${places} -D skip; printf '%s%s' '${head}' '${tail}' | grep -laFs -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline; } 2>/dev/null; true`;
  return lines(await run(sessionId, command)).filter((line) => line.startsWith('/'));
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
