// The one error that our code throws: a code of the register, and facts.

import { errorRegister } from './error-register.ts';

export { type ErrorEntry, errorRegister } from './error-register.ts';

export type ErrorCode = keyof typeof errorRegister;
export type ErrorDetails = Readonly<Record<string, unknown>>;

export class ServiceError extends Error {
  readonly code: ErrorCode;
  /** Facts that a caller may see: wire names, no secrets, no prompts. */
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options: { cause?: unknown; message?: string } = {}) {
    super(options.message ?? errorRegister[code].title, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'ServiceError';
    this.code = code;
    this.details = details;
  }
}

export function isServiceError(error: unknown, code?: ErrorCode): error is ServiceError {
  return error instanceof ServiceError && (code === undefined || error.code === code);
}
