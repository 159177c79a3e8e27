import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AgentLab, eventually, isAlive, type LabAgent } from '../testing/agent-lab.ts';
import { type AgentMemory, endTree, exactBytes, memoryOf } from './command-trees.ts';

const MiB = 1024 ** 2;
/** A shell with 50 MiB in a variable, and a child. */
const holds = 'x=$(head -c 50M /dev/zero | tr "\\0" x); sleep 605 & wait';

let lab: AgentLab;
before(async () => {
  lab = await AgentLab.open();
});
after(() => lab.close());

function look({ agent }: { readonly agent: LabAgent }): AgentMemory {
  const memory = memoryOf({ launcherPid: agent.launcherPid, codexPid: agent.agentPid() });
  assert.ok(memory);
  return memory;
}

test("a command's memory is seen with that of all below it, apart from Codex's, and its end leaves Codex", async () => {
  const agent = await lab.start();
  await eventually(() => look({ agent }).commands.length === 0, 2_000, 'nothing runs yet');
  const { codexBytes } = look({ agent });
  assert.ok(codexBytes > 10 * MiB && codexBytes < 500 * MiB);
  const call = agent.calls.commandExec({
    command: ['bash', '-c', holds],
    cwd: agent.paths.ws,
    sandboxPolicy: { type: 'readOnly', networkAccess: false },
    timeoutMs: 60_000,
  });
  const held = (): number => look({ agent }).commands.reduce((sum, command) => sum + exactBytes(command), 0);
  await eventually(() => held() > 50 * MiB, 10_000, 'the command holds its memory');
  const [command, ...more] = look({ agent }).commands;
  assert.ok(command !== undefined && more.length === 0);
  const exact = exactBytes(command);
  assert.ok(exact > 40 * MiB && exact <= 1.1 * command.bytes, `${exact} of ${command.bytes}`);
  assert.equal(endTree(command), true);
  assert.equal((await call).exitCode, 137);
  await eventually(() => !command.pids.some(isAlive), 2_000, 'all of it has ended');
  assert.ok(agent.agentPid() !== null);
  await eventually(() => look({ agent }).commands.length === 0, 2_000, 'Codex has fetched it');
  assert.equal(endTree(command), false);
  await agent.kill();
});

test('what a command left behind is seen, too, in a cage and in a bare PID namespace', async () => {
  const prefix = ['unshare', '--user', '--map-current-user', '--pid', '--fork', '--kill-child=SIGKILL'];
  for (const isolation of [lab.cage, { kind: 'uncaged', pidNamespacePrefix: prefix } as const]) {
    const agent = await lab.start({ isolation });
    await agent.calls.commandExec({
      command: ['bash', '-c', `setsid bash -c '${holds}' >/dev/null 2>&1 </dev/null & sleep 0.5`],
      sandboxPolicy: { type: 'dangerFullAccess' },
      timeoutMs: 5_000,
    });
    await eventually(
      () => look({ agent }).commands.some(({ bytes }) => bytes > 40 * MiB),
      10_000,
      'the orphan is seen',
    );
    const orphan = look({ agent }).commands.find(({ bytes }) => bytes > 40 * MiB);
    assert.ok(orphan !== undefined && endTree(orphan));
    await eventually(() => !orphan.pids.some(isAlive), 2_000, 'it has ended');
    await agent.kill();
  }
});

test("files that a command puts into memory are its own while its sandbox has them, and the cage's otherwise", async () => {
  const agent = await lab.start();
  const fill = (sandboxPolicy: { type: 'readOnly'; networkAccess: false } | { type: 'dangerFullAccess' }) =>
    agent.calls.commandExec({
      command: ['bash', '-c', 'head -c 30M /dev/zero > /dev/shm/x; sleep 60'],
      cwd: agent.paths.ws,
      sandboxPolicy,
      timeoutMs: 61_000,
    });
  const sandboxed = fill({ type: 'readOnly', networkAccess: false });
  await eventually(() => (look({ agent }).commands[0]?.filesBytes ?? 0) >= 30 * MiB, 5_000, 'the file is seen');
  const [command] = look({ agent }).commands;
  assert.ok(command !== undefined && exactBytes(command) >= 30 * MiB && endTree(command));
  assert.equal((await sandboxed).exitCode, 137);
  assert.equal(look({ agent }).filesBytes, 0);
  const open = fill({ type: 'dangerFullAccess' });
  await eventually(() => look({ agent }).filesBytes >= 30 * MiB, 5_000, 'the file is seen');
  await eventually(() => look({ agent }).commands.length === 1, 5_000, 'the command is seen');
  assert.equal(look({ agent }).commands[0]?.filesBytes, 0);
  const rejected = assert.rejects(open);
  await agent.kill();
  await rejected;
});

test('a number that is not the child it was is left alone', () => {
  assert.equal(endTree({ pid: process.pid, parentPid: process.pid }), false);
  assert.equal(memoryOf({ launcherPid: process.pid, codexPid: null }), null);
});
