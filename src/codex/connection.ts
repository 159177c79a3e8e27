// The conversation with one app-server: ids, waiting calls, deadlines, closing. Bytes come in by
// `receive` and leave by `write`; whose bytes they are, and what a method means, is not known here.

import type { Clock } from '../core/clock.ts';
import { CallTimedOut, CodexRefused, ConnectionClosed, TooManyCalls } from './connection-errors.ts';
import { defaultMaxLineBytes, encodeLine, LineReader } from './framing.ts';
import { type AgentRequest, type RequestAnswer, ServerRequests } from './server-requests.ts';

export type AgentNotification = { readonly method: string; readonly params?: unknown };

export type ProtocolProblem =
  | { readonly kind: 'malformed_line'; readonly bytes: number; readonly count: number }
  | { readonly kind: 'unexpected_answer'; readonly id: unknown }
  | { readonly kind: 'listener_failed'; readonly method: string; readonly error: unknown }
  | {
      readonly kind: 'request_refused';
      readonly method: string;
      readonly why: 'deadline' | 'handler_failed' | 'too_many';
      readonly error?: unknown;
    };

export type ConnectionOptions = {
  readonly write: (bytes: Buffer) => void;
  readonly clock: Clock;
  /** Hears each notification once, in order, with the line as Codex wrote it. */
  readonly onNotification: (notification: AgentNotification, line: string) => void;
  /** Its answer is sent back; the signal aborts at the deadline (approvals have none) and when the connection closes. */
  readonly onServerRequest: (request: AgentRequest, signal: AbortSignal) => Promise<RequestAnswer>;
  readonly onProblem: (problem: ProtocolProblem) => void;
  readonly maxLineBytes?: number;
  /** Codex leaves calls unanswered when thousands are pipelined: never more than this at once. */
  readonly maxInFlight?: number;
  readonly maxWaiting?: number;
  readonly serverRequestDeadlineMs?: number;
  /** 0 to 1, for the jitter of retries. */
  readonly random?: () => number;
};

type Call = {
  readonly method: string;
  readonly params: unknown;
  readonly deadlineAt: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly cancelDeadline: () => void;
  attempts: number;
};

type Message = { id?: unknown; method?: unknown; params?: unknown; result?: unknown; error?: unknown };

const overloadedCode = -32001;
const firstRetryMs = 50;
const longestRetryMs = 1_000;
const dayMs = 24 * 60 * 60 * 1000;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #clock: Clock;
  readonly #maxInFlight: number;
  readonly #maxWaiting: number;
  readonly #reader: LineReader;
  readonly #requests: ServerRequests;
  readonly #calls = new Set<Call>();
  readonly #inFlight = new Map<number, Call>();
  readonly #retries = new Map<Call, () => void>();
  #waiting: Call[] = [];
  #nextId = 1;
  #malformed = 0;
  #closed: ConnectionClosed | null = null;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#maxInFlight = options.maxInFlight ?? 32;
    this.#maxWaiting = options.maxWaiting ?? 256;
    this.#reader = new LineReader({
      maxLineBytes: options.maxLineBytes ?? defaultMaxLineBytes,
      onLine: (line) => this.#onLine(line),
    });
    this.#requests = new ServerRequests({
      clock: options.clock,
      deadlineMs: options.serverRequestDeadlineMs ?? dayMs,
      handle: options.onServerRequest,
      send: (message) => this.#send(message),
      onProblem: options.onProblem,
    });
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** Rejects with CodexRefused, CallTimedOut, TooManyCalls or ConnectionClosed; waiting its turn counts. */
  call(method: string, params: unknown, deadlineMs: number): Promise<unknown> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.#waiting.length >= this.#maxWaiting) return Promise.reject(new TooManyCalls(this.#waiting.length));
    return new Promise((resolve, reject) => {
      const call: Call = {
        method,
        params,
        deadlineAt: this.#clock.monotonicMs() + deadlineMs,
        resolve,
        reject,
        cancelDeadline: this.#clock.after(deadlineMs, () => this.#fail(call, new CallTimedOut(method, deadlineMs))),
        attempts: 0,
      };
      this.#calls.add(call);
      this.#waiting.push(call);
      this.#sendWaiting();
    });
  }

  notify(method: string, params?: unknown): void {
    this.#send(params === undefined ? { method } : { method, params });
  }

  /** Bytes from the agent, in any pieces. Throws LineTooLong: the caller ends the agent then. */
  receive(chunk: Buffer): void {
    if (this.#closed === null) this.#reader.push(chunk);
  }

  /** Rejects each waiting call; nothing is sent or delivered afterwards. Closing twice is harmless. */
  close(reason: string, cause?: unknown): void {
    if (this.#closed !== null) return;
    this.#closed = new ConnectionClosed(reason, { cause });
    this.#requests.close();
    for (const call of this.#calls) this.#fail(call, this.#closed);
  }

  #sendWaiting(): void {
    while (this.#inFlight.size < this.#maxInFlight) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      const id = this.#nextId++;
      this.#inFlight.set(id, call);
      try {
        this.#send({ id, method: call.method, params: call.params });
      } catch (error) {
        this.#inFlight.delete(id);
        this.#fail(call, error instanceof Error ? error : new Error('the call could not be written', { cause: error }));
      }
    }
  }

  #send(message: Readonly<Record<string, unknown>>): void {
    if (this.#closed === null) this.#options.write(encodeLine(message));
  }

  #onLine(line: Buffer): void {
    if (this.#closed !== null) return;
    const text = line.toString('utf8');
    const message = parseMessage(text);
    if (message === null) {
      if (line.length > 0) this.#reportMalformed(line.length);
    } else if (typeof message.method === 'string') {
      if (message.id === undefined) this.#notified({ method: message.method, params: message.params }, text);
      else if (typeof message.id === 'string' || typeof message.id === 'number') {
        this.#requests.accept({ id: message.id, method: message.method, params: message.params });
      } else this.#reportMalformed(line.length);
    } else {
      this.#answered(message);
    }
  }

  #reportMalformed(bytes: number): void {
    this.#malformed++;
    this.#options.onProblem({ kind: 'malformed_line', bytes, count: this.#malformed });
  }

  #notified(notification: AgentNotification, line: string): void {
    try {
      this.#options.onNotification(notification, line);
    } catch (error) {
      this.#options.onProblem({ kind: 'listener_failed', method: notification.method, error });
    }
  }

  #answered(message: Message): void {
    const call = typeof message.id === 'number' ? this.#inFlight.get(message.id) : undefined;
    if (call === undefined) {
      this.#options.onProblem({ kind: 'unexpected_answer', id: message.id });
      return;
    }
    this.#inFlight.delete(message.id as number);
    if (message.error === undefined) {
      this.#settle(call);
      call.resolve(message.result);
    } else {
      const refusal = new CodexRefused(call.method, readError(message.error));
      if (refusal.code !== overloadedCode || !this.#retryLater(call)) this.#fail(call, refusal);
    }
    this.#sendWaiting();
  }

  /** false when the retry would come after the deadline. */
  #retryLater(call: Call): boolean {
    const longest = Math.min(longestRetryMs, firstRetryMs * 2 ** call.attempts);
    const delayMs = longest * (0.5 + (this.#options.random ?? Math.random)() / 2);
    if (this.#clock.monotonicMs() + delayMs >= call.deadlineAt) return false;
    call.attempts++;
    const cancel = this.#clock.after(delayMs, () => {
      this.#retries.delete(call);
      this.#waiting.unshift(call);
      this.#sendWaiting();
    });
    this.#retries.set(call, cancel);
    return true;
  }

  #fail(call: Call, error: Error): void {
    if (!this.#calls.has(call)) return;
    this.#settle(call);
    call.reject(error);
    this.#sendWaiting();
  }

  #settle(call: Call): void {
    this.#calls.delete(call);
    call.cancelDeadline();
    this.#retries.get(call)?.();
    this.#retries.delete(call);
    this.#waiting = this.#waiting.filter((waiting) => waiting !== call);
    for (const [id, inFlight] of this.#inFlight) if (inFlight === call) this.#inFlight.delete(id);
  }
}

function parseMessage(text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function readError(error: unknown): { code: number; message: string; data?: unknown } {
  const { code, message, data } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  return {
    code: typeof code === 'number' ? code : 0,
    message: typeof message === 'string' ? message : 'Codex gave no reason',
    data,
  };
}
