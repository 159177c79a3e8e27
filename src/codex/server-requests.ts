// What Codex asks of us (approvals and the like): each request is answered exactly once, by the handler,
// or with a refusal at its deadline. Approvals have none here: who asks a person keeps the time of it, and
// a second clock could say no to what was accepted. Without an answer Codex would wait for ever.

import type { Clock } from '../core/clock.ts';
import type { ProtocolProblem } from './connection.ts';

export type AgentRequest = { readonly id: string | number; readonly method: string; readonly params?: unknown };
export type RequestAnswer =
  | { readonly result: unknown }
  | { readonly error: { readonly code: number; readonly message: string } };

type Options = {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly handle: (request: AgentRequest, signal: AbortSignal) => Promise<RequestAnswer>;
  readonly send: (message: Readonly<Record<string, unknown>>) => void;
  readonly onProblem: (problem: ProtocolProblem) => void;
};

/** What a person answers. */
const withoutDeadline: ReadonlySet<string> = new Set([
  'item/commandExecution/requestApproval',
  'item/fileChange/requestApproval',
  'item/permissions/requestApproval',
]);

type Open = { readonly abort: AbortController; readonly cancelDeadline: () => void };

const maxOpen = 256;
const internalError = -32603;
const overloaded = -32001;

export class ServerRequests {
  readonly #options: Options;
  readonly #open = new Map<string | number, Open>();

  constructor(options: Options) {
    this.#options = options;
  }

  accept(request: AgentRequest): void {
    if (this.#open.size >= maxOpen) {
      this.#options.onProblem({ kind: 'request_refused', method: request.method, why: 'too_many' });
      this.#options.send({ id: request.id, error: { code: overloaded, message: 'too many open requests' } });
      return;
    }
    const abort = new AbortController();
    const open: Open = {
      abort,
      cancelDeadline: withoutDeadline.has(request.method)
        ? () => {}
        : this.#options.clock.after(this.#options.deadlineMs, () => this.#refuse(request, 'deadline')),
    };
    this.#open.set(request.id, open);
    void this.#handle(request, open);
  }

  /** Drops what is open: there is nobody left to answer. */
  close(): void {
    for (const open of this.#open.values()) {
      open.cancelDeadline();
      open.abort.abort();
    }
    this.#open.clear();
  }

  async #handle(request: AgentRequest, open: Open): Promise<void> {
    try {
      const answer = await this.#options.handle(request, open.abort.signal);
      if (this.#take(request.id, open)) this.#options.send({ id: request.id, ...answer });
    } catch (error) {
      if (this.#open.get(request.id) === open) this.#refuse(request, 'handler_failed', error);
      // The answer itself could not be written (a lone surrogate in it): Codex still gets one.
      else if (!open.abort.signal.aborted) this.#sendRefusal(request, 'handler_failed', error);
    }
  }

  #refuse(request: AgentRequest, why: 'deadline' | 'handler_failed', error?: unknown): void {
    const open = this.#open.get(request.id);
    if (open === undefined || !this.#take(request.id, open)) return;
    open.abort.abort();
    this.#sendRefusal(request, why, error);
  }

  #sendRefusal(request: AgentRequest, why: 'deadline' | 'handler_failed', error?: unknown): void {
    this.#options.onProblem({ kind: 'request_refused', method: request.method, why, error });
    const message = why === 'deadline' ? 'no answer came in time' : 'the request could not be handled';
    this.#options.send({ id: request.id, error: { code: internalError, message } });
  }

  #take(id: string | number, open: Open): boolean {
    if (this.#open.get(id) !== open) return false;
    this.#open.delete(id);
    open.cancelDeadline();
    return true;
  }
}
