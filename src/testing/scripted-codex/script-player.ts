// Plays a script as the app-server would: knows threads, turns and ids; not where its lines go.

import type { Script, Step } from './script.ts';

export type Stage = {
  /** One line, without its newline. */
  readonly say: (line: string) => void;
  /** Bytes as they are, without a newline. */
  readonly spill: (bytes: number) => void;
  readonly after: (delayMs: number, callback: () => void) => void;
  readonly exit: (code: number) => void;
  readonly signal: (name: 'SIGKILL' | 'SIGSEGV' | 'SIGSTOP') => void;
  readonly grow: (bytes: number) => void;
  readonly openFiles: (count: number) => void;
};

type Call = {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: { readonly threadId?: string } | null;
};
type Turn = { id: string; status: 'inProgress' | 'completed' | 'interrupted'; text: string };

export class ScriptPlayer {
  readonly #script: Script;
  readonly #stage: Stage;
  readonly #calls = new Map<string, number>();
  readonly #requests = new Map<number, () => void>();
  readonly turns: Turn[] = [];
  #threadId = '';
  #nextRequest = 1;
  #isSilent = false;

  constructor(script: Script, stage: Stage) {
    this.#script = script;
    this.#stage = stage;
  }

  hear(line: string): void {
    if (this.#isSilent || line === '') return;
    const call = JSON.parse(line) as Call;
    if (typeof call.method !== 'string') {
      const goOn = this.#requests.get(call.id as number);
      this.#requests.delete(call.id as number);
      goOn?.();
      return;
    }
    if (call.id === undefined) return;
    const count = (this.#calls.get(call.method) ?? 0) + 1;
    this.#calls.set(call.method, count);
    if (typeof call.params?.threadId === 'string') this.#threadId = call.params.threadId;
    if (call.method !== 'initialize' && count <= (this.#script.overloads ?? 0)) {
      this.#say({ id: call.id, error: { code: -32001, message: 'Server overloaded; retry later.' } });
      return;
    }
    const scripted = this.#script.on?.[call.method];
    const steps = scripted?.[Math.min(count, scripted.length) - 1];
    void this.#play(steps ?? this.#usual(call.method), call);
  }

  #usual(method: string): readonly Step[] {
    switch (method) {
      case 'initialize':
        return [
          { waitMs: this.#script.startDelayMs ?? 0 },
          { answer: { userAgent: 'scripted', codexHome: '/', platformFamily: 'unix', platformOs: 'linux' } },
        ];
      case 'turn/start':
        return [{ playTurn: 'done' }];
      case 'turn/interrupt':
        return [{ answer: {} }, { notify: { method: 'turn/completed', params: turnParams('interrupted') } }];
      case 'command/exec':
        return [{ answer: { exitCode: 0, stdout: 'ran\n', stderr: '' } }];
      case 'thread/read':
        return [{ answer: 'thread' }];
      default:
        return [{ answer: {} }];
    }
  }

  async #play(steps: readonly Step[], call: Call): Promise<void> {
    for (const step of steps) {
      if (this.#isSilent) return;
      await this.#step(step, call);
    }
  }

  async #step(step: Step, call: Call): Promise<void> {
    if ('answer' in step) this.#say({ id: call.id, result: step.answer === 'thread' ? this.#thread() : step.answer });
    else if ('refuse' in step) this.#say({ id: call.id, error: step.refuse });
    else if ('notify' in step) this.#notify(step.notify);
    else if ('request' in step) await this.#request(step.request);
    else if ('playTurn' in step) this.#playTurn(call, step.playTurn, true);
    else if ('playTurnWithoutEnd' in step) this.#playTurn(call, step.playTurnWithoutEnd, false);
    else if ('waitMs' in step) {
      if (step.waitMs > 0) await new Promise<void>((resolve) => this.#stage.after(step.waitMs, resolve));
    } else if ('exit' in step) this.#stage.exit(step.exit);
    else if ('signal' in step) this.#stage.signal(step.signal);
    else if ('garbageLines' in step)
      for (let n = 0; n < step.garbageLines; n++) this.#stage.say(`\u0007 not json ${n} {"`);
    else if ('bigLineBytes' in step)
      this.#notify({ method: 'scripted/big', params: { text: 'x'.repeat(step.bigLineBytes) } });
    else if ('endlessLineBytes' in step) this.#stage.spill(step.endlessLineBytes);
    else if ('growBytes' in step) this.#stage.grow(step.growBytes);
    else if ('openFiles' in step) this.#stage.openFiles(step.openFiles);
    else this.#isSilent = true;
  }

  #playTurn(call: Call, text: string, ends: boolean): void {
    const turn: Turn = { id: `turn-${this.turns.length + 1}`, status: 'inProgress', text };
    this.turns.push(turn);
    this.#say({ id: call.id, result: { turn: publicTurn(turn) } });
    this.#notify({ method: 'turn/started', params: { threadId: '$thread', turn: publicTurn(turn) } });
    const item = { type: 'agentMessage', id: `message-${turn.id}`, text, phase: null };
    for (const method of ['item/started', 'item/completed'])
      this.#notify({ method, params: { threadId: '$thread', turnId: '$turn', item } });
    if (ends) this.#notify({ method: 'turn/completed', params: turnParams('completed') });
  }

  #notify({ method, params }: { readonly method: string; readonly params: unknown }): void {
    const turn = this.turns.at(-1);
    const status = (params as { turn?: { status?: Turn['status'] } } | null)?.turn?.status;
    if (method === 'turn/completed' && turn !== undefined && status !== undefined) turn.status = status;
    this.#say({ method, params });
  }

  async #request({ method, params }: { readonly method: string; readonly params: unknown }): Promise<void> {
    const id = this.#nextRequest++;
    await new Promise<void>((resolve) => {
      this.#requests.set(id, resolve);
      this.#say({ id, method, params });
    });
  }

  #thread(): unknown {
    const isActive = this.turns.at(-1)?.status === 'inProgress';
    return {
      thread: {
        id: this.#threadId,
        status: isActive ? { type: 'active', activeFlags: [] } : { type: 'idle' },
        turns: this.turns.map((turn) => ({
          ...publicTurn(turn),
          items: [{ type: 'agentMessage', id: `message-${turn.id}`, text: turn.text, phase: null }],
        })),
      },
    };
  }

  #say(message: Readonly<Record<string, unknown>>): void {
    if (this.#isSilent) return;
    const line = JSON.stringify(message, (_key, value: unknown) => {
      if (value === '$thread') return this.#threadId;
      if (value === '$turn') return this.turns.at(-1)?.id ?? '';
      return value;
    });
    this.#stage.say(line);
  }
}

function turnParams(status: Turn['status']): unknown {
  return { threadId: '$thread', turn: { id: '$turn', items: [], status, error: null } };
}

function publicTurn(turn: Turn): Readonly<Record<string, unknown>> {
  return { id: turn.id, items: [], status: turn.status, error: null };
}
