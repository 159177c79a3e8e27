// How a call to Codex can fail, one class each: Codex said no, did not answer, or is gone.

import { ServiceError } from '../core/errors.ts';

/** Codex answered with an error. */
export class CodexRefused extends Error {
  readonly method: string;
  readonly code: number;
  readonly data: unknown;

  constructor(method: string, error: { readonly code: number; readonly message: string; readonly data?: unknown }) {
    super(error.message);
    this.name = 'CodexRefused';
    this.method = method;
    this.code = error.code;
    this.data = error.data;
  }
}

/** The process, or the pipe to it, went away before the answer. */
export class ConnectionClosed extends ServiceError {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super('agent_crashed', {}, { ...options, message: `the connection to Codex is closed: ${reason}` });
    this.name = 'ConnectionClosed';
  }
}

/** No answer within the call's deadline. The answer, should it come, is dropped. */
export class CallTimedOut extends ServiceError {
  readonly method: string;

  constructor(method: string, deadlineMs: number) {
    super('agent_unresponsive', {}, { message: `Codex did not answer ${method} within ${deadlineMs} ms` });
    this.name = 'CallTimedOut';
    this.method = method;
  }
}

/** More calls wait than the connection holds; this one was never sent. */
export class TooManyCalls extends ServiceError {
  constructor(waiting: number) {
    super('agent_unresponsive', {}, { message: `${waiting} calls to Codex wait already` });
    this.name = 'TooManyCalls';
  }
}
