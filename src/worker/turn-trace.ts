// One turn as spans, by OpenTelemetry's conventions for generative AI: the agent's work as a whole, the wait for a
// slot, each tool that it used, the commit. The calls of the model come under it from the model proxy.

import type { Clock } from '../core/clock.ts';
import type { EventDraft } from '../core/event.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Span, Tracing } from '../observability/tracing.ts';

export type TurnTraceOptions = {
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly turn: TurnRecord;
  readonly model: string;
};

type Item = { readonly id?: unknown; readonly type?: unknown; readonly status?: unknown; readonly tool?: unknown };

/** Items that are the use of a tool, with what the tool is called. */
const tools: Readonly<Record<string, string>> = {
  command_execution: 'shell',
  file_change: 'apply_patch',
  mcp_tool_call: 'mcp',
  web_search: 'web_search',
};
/** Open at once; an agent that leaves more open has them closed with its turn. */
const mostOpenTools = 256;

export class TurnTrace {
  readonly #tracing: Tracing;
  readonly #clock: Clock;
  readonly #turn: Span;
  /** The wait for a slot, then the commit. */
  #phase: Span;
  readonly #tools = new Map<string, Span>();

  constructor({ clock, model, tracing, turn }: TurnTraceOptions) {
    this.#tracing = tracing;
    this.#clock = clock;
    this.#turn = tracing.start('invoke_agent codex', {
      kind: 'internal',
      parent: turn.traceparent ?? null,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.provider.name': 'openai',
        'gen_ai.agent.name': 'codex',
        'gen_ai.conversation.id': turn.sessionId,
        'gen_ai.request.model': model,
        'codex_fleet.turn.id': turn.id,
        'codex_fleet.tenant': turn.tenant,
        'codex_fleet.job.id': turn.jobId,
        'codex_fleet.request.id': turn.requestId,
      },
    });
    // From when it was asked for: what it waited behind in its session is in it.
    this.#phase = this.#start('wait for a slot', { startMs: turn.createdAt });
  }

  /** For what is done for the turn elsewhere. */
  get traceparent(): string | null {
    return this.#turn.traceparent;
  }

  /** It has its slot. */
  began(): void {
    this.#phase.end();
  }

  hear({ fields, type }: EventDraft): void {
    if (this.traceparent === null) return;
    const item = fields['item'] as Item | undefined;
    const tool = typeof item?.type === 'string' ? tools[item.type] : undefined;
    if (tool === undefined || typeof item?.id !== 'string') return;
    if (type === 'item.started' && this.#tools.size < mostOpenTools) this.#toolStarted(item.id, item, tool);
    if (type === 'item.completed') this.#toolEnded(item.id, item.status);
  }

  /** Codex is done with it: what follows is its commit. */
  ran(): void {
    this.#phase.end();
    for (const id of [...this.#tools.keys()]) this.#toolEnded(id, 'interrupted');
    this.#phase = this.#start('commit', {});
  }

  ended({ error, reason, status, usage }: TurnRecord): void {
    this.#phase.end();
    this.#turn.set({
      'codex_fleet.turn.status': status,
      'codex_fleet.turn.reason': reason ?? undefined,
      'gen_ai.usage.input_tokens': usage.inputTokens,
      'gen_ai.usage.output_tokens': usage.outputTokens,
    });
    this.#turn.end({ error: status === 'completed' ? null : (error?.code ?? reason ?? status) });
  }

  #start(name: string, { startMs }: { readonly startMs?: number }): Span {
    const start = startMs ?? this.#clock.now();
    return this.#tracing.start(name, { kind: 'internal', parent: this.traceparent, startMs: start });
  }

  #toolStarted(id: string, item: Item, tool: string): void {
    const name = typeof item.tool === 'string' ? item.tool : tool;
    this.#tools.set(
      id,
      this.#tracing.start(`execute_tool ${name}`, {
        kind: 'internal',
        parent: this.traceparent,
        startMs: this.#clock.now(),
        attributes: {
          'gen_ai.operation.name': 'execute_tool',
          'gen_ai.tool.name': name,
          'gen_ai.tool.type': 'function',
          'gen_ai.tool.call.id': id,
        },
      }),
    );
  }

  #toolEnded(id: string, status: unknown): void {
    const isWell = typeof status !== 'string' || status === 'completed';
    this.#tools.get(id)?.end({ error: isWell ? null : status });
    this.#tools.delete(id);
  }
}
