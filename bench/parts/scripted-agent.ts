// A Codex that costs nothing, for measuring what is around it: speaks app-server in this process, over
// the product's own connection, and answers each turn with a few deltas at once.

import type { AgentExit, AgentNotification, AgentProcess } from '../../src/codex/agent-process.ts';
import { Connection } from '../../src/codex/connection.ts';
import { AgentCalls } from '../../src/codex/methods.ts';
import type { Clock } from '../../src/core/clock.ts';
import { mintId } from '../../src/core/ids.ts';

type Call = { readonly id: number; readonly method: string; readonly params: { readonly threadId?: string } };

export function scriptedAgent(
  clock: Clock,
  onNotification: (notification: AgentNotification, line: string) => void,
): AgentProcess {
  const exited = Promise.withResolvers<AgentExit>();
  const connection = new Connection({
    clock,
    onNotification,
    onServerRequest: async () => ({ error: { code: -32601, message: 'not here' } }),
    onProblem: () => {},
    // As through a pipe: the answer comes in a later turn of the event loop.
    write: (bytes) => void setImmediate(() => connection.receive(answersTo(bytes))),
  });
  const kill = async (): Promise<void> => {
    connection.close('it was killed');
    exited.resolve({ reason: 'killed', exitCode: null, signal: 'SIGKILL', stderrTail: '' });
  };
  return {
    calls: new AgentCalls(connection),
    paths: { ws: '/s/ws', home: '/s/home' },
    launcherPid: -1,
    agentPid: () => null,
    exited: exited.promise,
    kill,
    stop: kill,
  };
}

function answersTo(bytes: Buffer): Buffer {
  const messages = bytes
    .toString('utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Call)
    .flatMap((call) => (call.method === 'turn/start' ? turn(call) : [{ id: call.id, result: {} }]));
  return Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
}

function turn({ id, params }: Call): unknown[] {
  const { threadId } = params;
  const turnId = mintId();
  const item = { type: 'agentMessage', id: `${turnId}-m`, text: 'one two three', phase: 'final_answer' };
  const running = { id: turnId, items: [], status: 'inProgress', error: null };
  const delta = (text: string): unknown => ({
    method: 'item/agentMessage/delta',
    params: { threadId, turnId, itemId: item.id, delta: text },
  });
  return [
    { id, result: { turn: running } },
    { method: 'turn/started', params: { threadId, turn: running } },
    { method: 'item/started', params: { threadId, turnId, item: { ...item, text: '' } } },
    ...['one', ' two', ' three'].map(delta),
    { method: 'item/completed', params: { threadId, turnId, item } },
    { method: 'turn/completed', params: { threadId, turn: { ...running, status: 'completed' } } },
  ];
}
