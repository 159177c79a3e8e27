// An agent of a simulated world: plays a turn as Codex would, takes its time as the seed says, now and then
// crashes in it, and leaves in the session's files what it was asked and what it finished.

import type { AgentProcess } from '../../codex/agent-process.ts';
import type { AgentCalls } from '../../codex/methods.ts';
import { PlayedAgent } from '../scripted-codex/played-agent.ts';
import type { Slot } from '../../worker/slot.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { SimulatedProcess, World } from './simulated-process.ts';

export type SimulatedAgentOptions = {
  readonly world: World;
  readonly process: SimulatedProcess;
  readonly disk: SimulatedDisk;
  readonly slot: Slot;
  readonly crashes: () => boolean;
  /** Codex was given the prompt, and works on it from now on. */
  readonly onPrompt: (prompt: string) => void;
};

const longestTurnMs = 6_000;

export function simulatedAgent(options: SimulatedAgentOptions): AgentProcess {
  const { crashes, disk, onPrompt, process, slot, world } = options;
  const { random } = world;
  const agent = new PlayedAgent({
    script: { on: { 'turn/start': [[{ playTurnWithoutEnd: 'done' }]], 'turn/interrupt': [[{ answer: {} }]] } },
    clock: process.clock,
    paths: { ws: `${slot.dir}/ws`, home: `${slot.dir}/home` },
    onNotification: (notification, line) => slot.listener?.onNotification(notification, line),
  });
  const say = (method: string, params: object): void => {
    if (!agent.isGone) slot.listener?.onNotification({ method, params } as never, JSON.stringify({ method, params }));
  };
  const startTurn: AgentCalls['turnStart'] = async (params) => {
    const [input] = params.input;
    const prompt = input?.type === 'text' ? input.text : '';
    if (agent.isGone) return await agent.calls.turnStart(params);
    onPrompt(prompt);
    const words = disk.slots.get(slot.dir);
    words?.push(`begun ${prompt}`);
    const answer = await agent.calls.turnStart(params);
    const endMs = random.next() * longestTurnMs;
    const base = { threadId: params.threadId, turnId: answer.turn.id };
    if (crashes()) {
      process.clock.after(endMs, () => agent.end({ reason: 'exited', exitCode: 1 }));
      return answer;
    }
    for (let delta = 1; delta <= 2; delta++)
      process.clock.after((endMs * delta) / 3, () =>
        say('item/agentMessage/delta', { ...base, itemId: `message-${answer.turn.id}`, delta: 'more' }),
      );
    process.clock.after(endMs, () => {
      if (agent.isGone) return;
      words?.push(`done ${prompt}`);
      say('turn/completed', { ...base, turn: { id: answer.turn.id, items: [], status: 'completed', error: null } });
    });
    return answer;
  };
  const calls = new Proxy(agent.calls, {
    get: (object, name) => {
      if (name === 'turnStart') return startTurn;
      const value: unknown = Reflect.get(object, name, object);
      return typeof value === 'function' ? (value.bind(object) as unknown) : value;
    },
  });
  return {
    calls,
    paths: agent.paths,
    launcherPid: -1,
    agentPid: () => null,
    exited: agent.exited,
    kill: () => agent.kill(),
    stop: () => agent.stop(),
  };
}
