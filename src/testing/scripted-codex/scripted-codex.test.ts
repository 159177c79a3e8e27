import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { type AgentNotification, type AgentOptions, type AgentProcess, startAgent } from '../../codex/agent-process.ts';
import { residentBytes } from '../../codex/process-tree.ts';
import { isServiceError } from '../../core/errors.ts';
import { createLogger } from '../../observability/logger.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { buildTurnStart } from '../../protocol/policy.ts';
import { descendantsOf, eventually, isAlive } from '../agent-lab.ts';
import type { Script, Step } from './script.ts';
import { scriptedBinary } from './scripted-binary.ts';

const sessionId = '019f0000-0000-7000-8000-000000000001';
const turn = buildTurnStart({
  sessionId,
  prompt: 'go',
  approvals: 'never',
  model: null,
  sandbox: 'read-only',
  network: false,
});

type Started = { readonly agent: AgentProcess; readonly heard: AgentNotification[] };

async function start(t: TestContext, script: Script, changes: Partial<AgentOptions> = {}): Promise<Started> {
  const root = await mkdtemp(path.join(tmpdir(), 'scripted-codex-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const heard: AgentNotification[] = [];
  const agent = await startAgent({
    binary: await scriptedBinary(path.join(root, 'binary'), script),
    isolation: { kind: 'uncaged', pidNamespacePrefix: [] },
    slotDir: path.join(root, 'slot'),
    homeTemplate: null,
    config: { model: 'demo', streamIdleTimeoutMs: 30_000, fleetVersion: 'test' },
    modelUpstream: { socketPath: path.join(root, 'no-model.sock') },
    heartbeatLimitMs: 10_000,
    startDeadlineMs: 10_000,
    clock: new SystemClock(),
    logger: createLogger({ level: 'silent', role: 'test' }),
    onNotification: (notification) => heard.push(notification),
    onServerRequest: async () => ({ error: { code: -32601, message: 'refused' } }),
    ...changes,
  });
  t.after(async () => {
    const left = descendantsOf(agent.launcherPid);
    await agent.kill();
    await eventually(() => left.every((pid) => !isAlive(pid)), 2_000, 'no process is left');
  });
  return { agent, heard };
}

const onTurn = (...steps: Step[]): Script => ({ on: { 'turn/start': [steps] } });
const methods = ({ heard }: Started): string[] => heard.map(({ method }) => method);

test('without a script for it, a turn is played well, by a process that is found as Codex would be', async (t) => {
  const started = await start(t, {});
  await started.agent.calls.turnStart(turn);
  await eventually(() => methods(started).includes('turn/completed'), 5_000, 'the end of the turn');
  assert.deepEqual(methods(started), ['turn/started', 'item/started', 'item/completed', 'turn/completed']);
  assert.ok((residentBytes(started.agent.agentPid() ?? 0) ?? 0) > 10_000_000);
});

test('an exit with 0 in mid-turn is an exit', async (t) => {
  const { agent } = await start(t, onTurn({ playTurnWithoutEnd: 'so far' }, { exit: 0 }));
  await agent.calls.turnStart(turn);
  const exit = await agent.exited;
  assert.deepEqual([exit.reason, exit.exitCode], ['exited', 0]);
});

test('a line of 50 MB arrives whole, among lines of garbage', async (t) => {
  const started = await start(t, onTurn({ garbageLines: 1_000 }, { bigLineBytes: 50_000_000 }, { playTurn: 'fine' }));
  await started.agent.calls.turnStart(turn);
  await eventually(() => methods(started).includes('turn/completed'), 10_000, 'the end of the turn');
  assert.equal(methods(started)[0], 'scripted/big');
});

test('a line without an end ends the process, as one that is not understood', async (t) => {
  const { agent } = await start(t, onTurn({ endlessLineBytes: 80 * 1024 * 1024 }));
  await assert.rejects(agent.calls.turnStart(turn), (error: unknown) => isServiceError(error, 'agent_crashed'));
  assert.equal((await agent.exited).reason, 'garbled');
});

test('memory and open files grow as told, where others can see it', async (t) => {
  const { agent } = await start(t, onTurn({ growBytes: 256 * 1024 * 1024 }, { playTurnWithoutEnd: '' }));
  await agent.calls.turnStart(turn);
  assert.ok((residentBytes(agent.agentPid() ?? 0) ?? 0) > 256 * 1024 * 1024);
});

test('a stopped process is killed like any other', async (t) => {
  const { agent } = await start(t, onTurn({ playTurnWithoutEnd: '' }, { signal: 'SIGSTOP' }));
  await agent.calls.turnStart(turn);
  const pid = agent.agentPid();
  assert.ok(pid !== null);
  await agent.kill();
  // Its launcher is gone by then; it may be about to.
  await eventually(() => !isAlive(pid), 2_000, 'it is gone');
});

test('one that ignores its input’s end and SIGTERM is killed after its grace', async (t) => {
  const { agent } = await start(t, { ignoresSigterm: true });
  await agent.stop({ termGraceMs: 300 });
  assert.equal((await agent.exited).signal, 'SIGKILL');
});

test('a start that takes too long, or ends at once, is a failed start', async (t) => {
  const failed = (error: unknown): boolean => isServiceError(error, 'agent_start_failed');
  await assert.rejects(start(t, { startDelayMs: 60_000 }, { startDeadlineMs: 500 }), failed);
  await assert.rejects(start(t, { exitAtStart: 3 }), failed);
});
