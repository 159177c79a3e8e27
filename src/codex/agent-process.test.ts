import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { AgentLab, descendantsOf, eventually, isAlive } from '../testing/agent-lab.ts';
import { CodexRefused, ConnectionClosed } from './connection-errors.ts';
import { createHomeTemplate } from './home-template.ts';
import { residentBytes } from './process-tree.ts';

let lab: AgentLab;
before(async () => {
  lab = await AgentLab.open();
});
after(() => lab.close());

const fullAccess = { type: 'dangerFullAccess' } as const;
const leaveBehind = 'setsid sleep 601 & sleep 602 & sleep 603';

test('an agent starts ready to be called, says nothing against its configuration, and stops whole', async () => {
  const agent = await lab.start();
  const processes = descendantsOf(agent.launcherPid);
  const codex = agent.agentPid();
  assert.ok(codex !== null && processes.includes(codex));
  assert.ok((residentBytes(codex) ?? 0) > 10_000_000);
  // One ordered stream: what it had to say of its start comes before this answer.
  await assert.rejects(agent.calls.threadRead({ threadId: mintId() }), CodexRefused);
  assert.deepEqual(
    agent.notifications.filter(({ method }) => method === 'configWarning'),
    [],
  );
  const stopped = agent.stop();
  assert.equal(agent.stop(), stopped);
  await stopped;
  assert.deepEqual(await agent.exited, { reason: 'stopped', exitCode: 0, signal: null, stderrTail: '' });
  assert.deepEqual(processes.filter(isAlive), []);
  assert.equal(agent.agentPid(), null);
});

test('a seeded thread resumes with its credential in a workspace that came later, and runs a turn', async () => {
  const agent = await lab.start();
  const threadId = mintId();
  await lab.seedThread(agent, threadId);
  const later = path.join(lab.root, 'later');
  await mkdir(later);
  await writeFile(path.join(later, 'AGENTS.md'), 'Say MARKER-77.\n');
  await rename(later, path.join(agent.slotDir, 'ws'));
  lab.modelSays(
    { command: 'cat AGENTS.md > copy.txt; git init -q . && git add -A && echo added-$((6 * 7))' },
    { text: 'hello' },
  );
  const callsBefore = lab.modelCalls.length;
  await agent.calls.threadResume({
    threadId,
    cwd: agent.paths.ws,
    sandbox: 'read-only',
    approvalPolicy: 'never',
    excludeTurns: true,
    config: { 'model_providers.fleet.experimental_bearer_token': 'credential-1' },
  });
  await agent.calls.turnStart({
    threadId,
    input: [{ type: 'text', text: 'go', text_elements: [] }],
    sandboxPolicy: {
      type: 'workspaceWrite',
      writableRoots: [`${agent.paths.ws}/.git`],
      networkAccess: false,
      excludeTmpdirEnvVar: false,
      excludeSlashTmp: false,
    },
  });
  const { params } = await agent.heard('turn/completed');
  assert.match(JSON.stringify(params), /"status":"completed"/);
  const calls = lab.modelCalls.slice(callsBefore);
  assert.deepEqual(
    calls.map(({ authorization }) => authorization),
    ['Bearer credential-1', 'Bearer credential-1'],
  );
  assert.match(calls[0]?.body ?? '', /MARKER-77/);
  assert.match(calls[1]?.body ?? '', /added-42/);
  assert.ok(existsSync(path.join(agent.slotDir, 'ws', 'copy.txt')));
  await agent.kill();
});

test('kill ends everything in the cage, daemons too, and rejects the calls that wait', async () => {
  const agent = await lab.start();
  const command = { command: ['bash', '-c', leaveBehind], cwd: agent.paths.ws, sandboxPolicy: fullAccess };
  const call = assert.rejects(agent.calls.commandExec({ ...command, timeoutMs: 600_000 }), ConnectionClosed);
  await eventually(() => descendantsOf(agent.launcherPid).filter(isSleep).length === 3, 5_000, 'three sleeps run');
  const processes = descendantsOf(agent.launcherPid);
  await Promise.all([agent.kill(), agent.kill()]);
  await call;
  assert.deepEqual(processes.filter(isAlive), []);
  const exit = await agent.exited;
  assert.deepEqual([exit.reason, exit.signal], ['killed', 'SIGKILL']);
});

test('a Codex that ends by itself is noticed within a second, with its code or signal, and its daemons end with it', async () => {
  const ends = [
    { signal: 'SIGKILL', told: { reason: 'exited', exitCode: null, signal: 'SIGKILL' } },
    { signal: 'SIGTERM', told: { reason: 'exited', exitCode: 0, signal: null } },
  ] as const;
  for (const { signal, told } of ends) {
    const agent = await lab.start();
    const command = { command: ['bash', '-c', 'setsid sleep 601 >/dev/null 2>&1 &'], sandboxPolicy: fullAccess };
    await agent.calls.commandExec({ ...command, timeoutMs: 5_000 }).catch(() => {});
    const processes = descendantsOf(agent.launcherPid);
    const startedAt = performance.now();
    process.kill(agent.agentPid() ?? Number.NaN, signal);
    const { stderrTail: _, ...exit } = await agent.exited;
    assert.deepEqual(exit, told);
    assert.ok(performance.now() - startedAt < 1_000);
    assert.deepEqual(processes.filter(isAlive), []);
    await assert.rejects(agent.calls.threadRead({ threadId: mintId() }), ConnectionClosed);
    await agent.stop();
  }
});

test('a launcher that is killed alone takes its cage with it', async () => {
  const agent = await lab.start();
  const processes = descendantsOf(agent.launcherPid);
  process.kill(agent.launcherPid, 'SIGKILL');
  assert.equal((await agent.exited).reason, 'exited');
  await eventually(() => processes.filter(isAlive).length === 0, 3_000, 'the cage has ended');
});

test('a refused configuration rejects the start with what Codex said of it, and leaves nothing', async () => {
  // A duration that is no whole number: Codex refuses the file.
  const config = { model: 'demo', streamIdleTimeoutMs: 1.5, fleetVersion: 'test' };
  await assert.rejects(lab.start({ config }), (error: unknown) => {
    assert.ok(isServiceError(error, 'agent_start_failed'));
    assert.match(error.message, /floating point/);
    return true;
  });
});

test('a start past its deadline is rejected and leaves nothing', async () => {
  await assert.rejects(lab.start({ startDeadlineMs: 1 }), (error: unknown) =>
    isServiceError(error, 'agent_start_failed'),
  );
});

test('a home copied from a template serves as a fresh one does', async () => {
  const template = await createHomeTemplate(path.join(lab.root, 'template'), lab.agentOptions('unused'));
  assert.deepEqual(
    readdirSync(template).filter((name) => /-(wal|shm)$/.test(name)),
    [],
  );
  const agent = await lab.start({ homeTemplate: template });
  await lab.seedThread(agent, mintId());
  assert.ok(existsSync(path.join(agent.slotDir, 'home', 'state_5.sqlite')));
  await agent.stop();
});

for (const [title, signal] of [
  ['a worker that is stopped leaves no working agent: the cage ends when the heartbeat does', 'SIGSTOP'],
  ['a worker that is killed takes its agents with it', 'SIGKILL'],
] as const) {
  test(title, async () => {
    const worker = startWorker();
    try {
      // What helped with the start has left by then, or is about to.
      const pids = (await worker.pids).filter(isAlive);
      assert.ok(pids.length >= 2);
      process.kill(worker.pid, signal);
      await eventually(() => pids.filter(isAlive).length === 0, 3_000, 'the cage has ended');
    } finally {
      worker.kill();
      await worker.exited;
    }
  });
}

/** A process of its own that starts one agent and prints the pids of everything in its cage. */
function startWorker(): { pid: number; pids: Promise<number[]>; exited: Promise<void>; kill: () => boolean } {
  const testing = new URL('../testing/agent-lab.ts', import.meta.url).href;
  const program = `
    const { AgentLab, descendantsOf } = await import(${JSON.stringify(testing)});
    const { startAgent } = await import(${JSON.stringify(new URL('./agent-process.ts', import.meta.url).href)});
    const { mkdtempSync, rmSync } = await import('node:fs');
    const lab = await AgentLab.open();
    const slotDir = mkdtempSync(${JSON.stringify(path.join(lab.root, 'slot-'))});
    const agent = await startAgent(lab.agentOptions(slotDir, { heartbeatLimitMs: 1000 }));
    rmSync(lab.root, { recursive: true });
    console.log(JSON.stringify(descendantsOf(agent.launcherPid)));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pids = new Promise<number[]>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (piece: Buffer) => {
      text += piece.toString('utf8');
      if (text.includes('\n')) resolve(JSON.parse(text) as number[]);
    });
    child.stdout.once('end', () => reject(new Error('the worker printed nothing')));
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  return { pid: child.pid ?? Number.NaN, pids, exited, kill: () => child.kill('SIGKILL') };
}

function isSleep(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n';
  } catch {
    return false;
  }
}
