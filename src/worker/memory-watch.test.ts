import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentProcess } from '../codex/agent-process.ts';
import type { AgentMemory, CommandTree } from '../codex/command-trees.ts';
import type { ContainerMemory } from '../codex/container-memory.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { MemoryWatch } from './memory-watch.ts';
import type { Slot } from './slot.ts';

const MiB = 1024 ** 2;
const command = (pid: number, mebibytes: number): CommandTree => ({
  pid,
  parentPid: 1,
  pids: [pid],
  filesBytes: 0,
  bytes: mebibytes * MiB,
});

type Stage = {
  readonly memory?: readonly (AgentMemory | null)[];
  readonly exact?: (tree: CommandTree) => number;
  readonly container?: () => ContainerMemory | null;
  readonly state?: 'idle' | 'bound';
};

/** One slot for each memory, numbered from 0; what is ended is gone at the next look. */
function watch({ container = () => null, exact = ({ bytes }) => bytes, memory = [], state = 'bound' }: Stage) {
  const clock = new FakeClock();
  const metrics = createMetrics();
  const held = [...memory];
  const ended: number[] = [];
  const told: string[] = [];
  const agents = held.map((): AgentProcess => ({}) as AgentProcess);
  const looks: number[] = [];
  const slots = held.map((_, index): Slot => {
    const agent = agents[index] as AgentProcess;
    return {
      id: `slot-${index}`,
      dir: '/nowhere',
      startedAtMs: 0,
      turns: 1,
      state: state === 'bound' ? { name: 'bound', agent, tenant: 'ana', sinceMs: 0 } : { name: 'idle', agent },
      listener: {
        onNotification: () => {},
        onServerRequest: async () => ({ error: { code: 0, message: '' } }),
        onDue: () => {},
        onOvergrown: () => told.push(`${index} overgrown`),
        onCommandKilled: ({ bytes, reason }) => told.push(`${index} ${reason} ${bytes / MiB}`),
      },
    };
  });
  const memoryWatch = new MemoryWatch({
    limitBytes: 100 * MiB,
    look: (agent) => {
      looks.push(clock.monotonicMs());
      return held[agents.indexOf(agent)] ?? null;
    },
    exactBytes: exact,
    end: ({ pid }) => {
      ended.push(pid);
      for (const [index, one] of held.entries())
        if (one !== null) held[index] = { ...one, commands: one.commands.filter((tree) => tree.pid !== pid) };
      return true;
    },
    container,
    clock,
    logger: createLogger({ level: 'silent', role: 'test' }),
    metrics,
  });
  memoryWatch.start(() => slots);
  return { clock, ended, held, looks, memoryWatch, metrics, told };
}

test('of a session that holds too much the largest command is ended, alone; the session is told, its neighbour is not', async () => {
  const { clock, ended, memoryWatch, metrics, told } = watch({
    memory: [
      { codexBytes: 90 * MiB, filesBytes: 0, commands: [command(11, 30), command(12, 80)] },
      { codexBytes: 90 * MiB, filesBytes: 0, commands: [command(21, 99)] },
    ],
  });
  await clock.advanceAsync(2_000);
  assert.deepEqual([ended, told], [[12], ['0 memory 80']]);
  const { body } = await metrics.render();
  assert.match(body, /^codex_fleet_commands_killed_total\{reason="memory"\} 1$/m);
  memoryWatch.stop();
  assert.equal(clock.pendingTimers, 0);
});

test('what processes share does not count twice: nothing is ended for what is only seen many times', async () => {
  const forked = { codexBytes: 0, filesBytes: 0, commands: [command(11, 400)] };
  const { clock, ended, memoryWatch } = watch({ memory: [forked], exact: () => 60 * MiB });
  await clock.advanceAsync(2_000);
  assert.deepEqual(ended, []);
  memoryWatch.stop();
});

test('a Codex that is too large by itself is ended with its slot, told once; one whose command is smaller than allowed is not', async () => {
  const { clock, ended, memoryWatch, told } = watch({
    memory: [
      { codexBytes: 101 * MiB, filesBytes: 0, commands: [] },
      { codexBytes: 101 * MiB, filesBytes: 0, commands: [command(21, 1)] },
    ],
  });
  await clock.advanceAsync(5_000);
  assert.deepEqual([ended, told], [[], ['0 overgrown']]);
  memoryWatch.stop();
});

test('files that fill the memory of a cage end the command that may be writing them, and then the slot', async () => {
  const full = { codexBytes: 40 * MiB, filesBytes: 101 * MiB, commands: [command(11, 1)] };
  const { clock, ended, memoryWatch, told } = watch({ memory: [full] });
  await clock.advanceAsync(1_000);
  assert.deepEqual([ended, told], [[11], ['0 memory 1', '0 overgrown']]);
  memoryWatch.stop();
});

test('where the container is nearly full the largest command of all sessions is ended, then what it held has time to come back', async () => {
  const { clock, ended, memoryWatch, told } = watch({
    memory: [
      { codexBytes: 0, filesBytes: 0, commands: [command(11, 50), command(12, 10)] },
      { codexBytes: 0, filesBytes: 0, commands: [command(21, 60)] },
    ],
    container: () => ({ usedBytes: 93, limitBytes: 100 }),
  });
  assert.deepEqual([ended, told], [[21], ['1 container_memory 60']]);
  await clock.advanceAsync(450);
  assert.deepEqual(ended, [21]);
  await clock.advanceAsync(100);
  assert.deepEqual(ended, [21, 11]);
  memoryWatch.stop();
});

test('where the container is nearly full who only seems to hold the most, by what it shares, does not pay for who does', async () => {
  const { ended, memoryWatch, told } = watch({
    memory: [
      { codexBytes: 0, filesBytes: 0, commands: [command(11, 90)] },
      { codexBytes: 0, filesBytes: 0, commands: [command(21, 5)] },
    ],
    exact: ({ pid }) => (pid === 11 ? 40 : 700) * MiB,
    container: () => ({ usedBytes: 93, limitBytes: 100 }),
  });
  assert.deepEqual([ended, told], [[21], ['1 container_memory 700']]);
  memoryWatch.stop();
});

test('where the container is nearly full by what no command holds, small commands are not ended for nothing', async () => {
  const { clock, ended, memoryWatch } = watch({
    memory: [{ codexBytes: 0, filesBytes: 0, commands: [command(11, 31), command(12, 2)] }],
    container: () => ({ usedBytes: 99, limitBytes: 100 }),
  });
  await clock.advanceAsync(5_000);
  assert.deepEqual(ended, []);
  memoryWatch.stop();
});

test('a command whose memory takes long to be told does not take the time of all others', async () => {
  const forked = { codexBytes: 0, filesBytes: 0, commands: [command(11, 4_000)] };
  let takesMs = 0;
  const { clock, ended, looks, memoryWatch } = watch({
    memory: [forked],
    exact: () => {
      if (takesMs > 0) clock.advance(takesMs);
      return 60 * MiB;
    },
  });
  takesMs = 80;
  await clock.advanceAsync(10_000);
  const before = looks.length;
  await clock.advanceAsync(10_000);
  const spentMs = (looks.length - before) * 80;
  assert.ok(spentMs > 0 && spentMs <= 2_000, `${spentMs} of 10000 ms`);
  assert.deepEqual(ended, []);
  memoryWatch.stop();
});

test('a container with room, and one without a limit, cost nobody a command', async () => {
  for (const container of [() => ({ usedBytes: 91, limitBytes: 100 }), () => null]) {
    const { clock, ended, memoryWatch } = watch({
      memory: [{ codexBytes: 0, filesBytes: 0, commands: [command(11, 50)] }],
      container,
    });
    await clock.advanceAsync(2_000);
    assert.deepEqual(ended, []);
    memoryWatch.stop();
  }
});

test('looks are rare while nothing runs, and close together when a session comes near its limit', async () => {
  const { clock, held, looks, memoryWatch } = watch({ memory: [{ codexBytes: 0, filesBytes: 0, commands: [] }] });
  const during = async (memory: AgentMemory): Promise<number> => {
    held[0] = memory;
    await clock.advanceAsync(1_000);
    const before = looks.length;
    await clock.advanceAsync(1_000);
    return looks.length - before;
  };
  assert.equal(await during({ codexBytes: 0, filesBytes: 0, commands: [] }), 2);
  assert.equal(await during({ codexBytes: 0, filesBytes: 0, commands: [command(11, 10)] }), 4);
  assert.equal(await during({ codexBytes: 0, filesBytes: 0, commands: [command(11, 60)] }), 20);
  memoryWatch.stop();
});

test('a warm process that serves nobody is not looked at, and one that is gone harms nothing', async () => {
  const idle = watch({
    memory: [{ codexBytes: 999 * MiB, filesBytes: 0, commands: [command(11, 999)] }],
    state: 'idle',
  });
  const gone = watch({ memory: [null] });
  for (const { clock, ended, memoryWatch } of [idle, gone]) {
    await clock.advanceAsync(1_000);
    assert.deepEqual(ended, []);
    memoryWatch.stop();
  }
  assert.deepEqual(idle.looks, []);
});
