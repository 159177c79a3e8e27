import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type AgentProcess, startAgent } from '../codex/agent-process.ts';
import { childrenOf } from '../codex/process-tree.ts';
import type { CodexBinary } from '../codex/binary.ts';
import { createLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { eventually } from '../testing/agent-lab.ts';
import type { Script, Step } from '../testing/scripted-codex/script.ts';
import { scriptedBinary } from '../testing/scripted-codex/scripted-binary.ts';
import { WorkerStage } from '../testing/scripted-codex/worker-stage.ts';
import type { Slot } from './slot.ts';

let stage: WorkerStage;
const agents: AgentProcess[] = [];
const misdeeds: readonly (readonly Step[])[] = [
  [{ playTurnWithoutEnd: 'so far' }, { exit: 0 }],
  [{ playTurnWithoutEnd: 'so far' }, { signal: 'SIGSEGV' }],
  [{ garbageLines: 1_000 }, { playTurnWithoutEnd: 'so far' }, { signal: 'SIGKILL' }],
  [{ bigLineBytes: 5_000_000 }, { playTurnWithoutEnd: 'so far' }, { exit: 1 }],
];

before(async () => {
  stage = await WorkerStage.open({ slots: 2, warm: 1, startAgent: (slot) => startScripted(slot) });
});
after(() => stage.close());

async function startScripted(slot: Slot): Promise<AgentProcess> {
  const turn = misdeeds[agents.length % misdeeds.length] ?? [];
  const script: Script = { on: { 'turn/start': [[{ playTurn: 'done' }], turn] } };
  const binary: CodexBinary = await scriptedBinary(path.resolve(slot.dir, '../../binaries', slot.id), script);
  const agent = await startAgent({
    binary,
    isolation: { kind: 'uncaged', pidNamespacePrefix: [] },
    slotDir: slot.dir,
    homeTemplate: null,
    config: { model: 'demo', streamIdleTimeoutMs: 30_000, fleetVersion: 'test' },
    modelUpstream: { socketPath: path.resolve(slot.dir, '../../no-model.sock') },
    heartbeatLimitMs: 10_000,
    startDeadlineMs: 10_000,
    clock: new SystemClock(),
    logger: createLogger({ level: 'silent', role: 'test' }),
    onNotification: (notification, line) => slot.listener?.onNotification(notification, line),
    onServerRequest: async () => ({ error: { code: -32601, message: 'refused' } }),
  });
  agents.push(agent);
  return agent;
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

test('a session outlives whatever its processes do, turn after turn, and leaves no process and no file open', async () => {
  const session = await stage.newSession();
  const turns = async (count: number): Promise<string[]> => {
    const statuses: string[] = [];
    for (let n = 0; n < count; n++) statuses.push((await stage.ended(await stage.start(session))).status);
    return statuses;
  };
  await turns(8);
  const openBefore = openFiles();
  const statuses = await turns(16);
  assert.deepEqual(statuses, Array.from({ length: 8 }, () => ['completed', 'failed']).flat());
  await eventually(() => stage.pool.counts().idle === 1, 5_000, 'a warm slot');
  assert.ok(openFiles() <= openBefore + 8, `${openBefore} files were open, now ${openFiles()}`);
  assert.ok(childrenOf(process.pid).length <= 3);
  const events = await stage.events({ tenant: session.tenant, sessionId: session.id });
  const ends = events.filter(({ type }) => /^turn\.(completed|failed)$/.test(String(type)));
  assert.equal(new Set(ends.map(({ turn_id }) => turn_id)).size, 24);
  assert.equal(ends.length, 24);
});
