// What came of one attempt at the store door, in the words of the error register: a refusal as the door or the store
// behind it said it, or no answer at all. Says which of them may be tried again, and after which the call may have
// been done.

import { factsOf } from '../../api/problem.ts';
import { type ErrorCode, errorRegister, isServiceError, ServiceError } from '../../core/errors.ts';

/** There was no answer, or none that can be understood. */
export class Unanswered extends Error {
  readonly reason: 'unreachable' | 'cut' | 'timeout' | 'answered_badly';
  readonly maySend: boolean;

  /** `maySend`: the door may have got the question. */
  constructor(reason: Unanswered['reason'], maySend: boolean, cause?: unknown) {
    super(`the store door gave no answer: ${reason}`, { cause });
    this.name = 'Unanswered';
    this.reason = reason;
    this.maySend = maySend;
  }
}

/** Refusals of the door itself that another moment, or another replica, may not repeat. Those of a store are its last word. */
const passingReasons: ReadonlySet<unknown> = new Set(['overloaded', 'timeout', 'garbled', 'object_gone']);
const passingCodes: ReadonlySet<ErrorCode> = new Set(['draining', 'request_timeout', 'too_many_connections']);

export function mayRepeat(error: unknown): boolean {
  if (error instanceof Unanswered) return true;
  if (!isServiceError(error)) return false;
  return passingCodes.has(error.code) || (isOfTheDoor(error) && passingReasons.has(error.details['reason']));
}

/** The repeat of a write must look at what stands before it believes that another was first. */
export function mayHaveBeenDone(error: unknown): boolean {
  if (error instanceof Unanswered) return error.maySend;
  return isServiceError(error, 'store_unavailable') && error.details['reason'] === 'timeout';
}

export function doorError(error: unknown, operation: string): ServiceError {
  const unavailable = (reason: string, facts: object = {}): ServiceError =>
    new ServiceError('store_unavailable', { store: 'door', reason, operation, ...facts }, { cause: error });
  if (error instanceof Unanswered) return unavailable(error.reason);
  if (!isServiceError(error)) return unavailable('failing');
  switch (error.code) {
    // Our credential or our version is another: no word of the store's.
    case 'unauthenticated':
      return unavailable('credential_refused');
    case 'not_found':
    case 'method_not_allowed':
    case 'unsupported_media_type':
      return unavailable('call_not_known');
    case 'invalid_request':
    case 'invalid_json':
      return unavailable('call_refused', { errors: error.details['errors'] ?? [] });
    case 'draining':
    case 'request_timeout':
    case 'too_many_connections':
      return unavailable(error.code);
    default:
      return error;
  }
}

export function closedDoor(operation: string): ServiceError {
  return new ServiceError('store_unavailable', { store: 'door', reason: 'closed', operation });
}

/** As the door threw it. What this version has no word for is a store that does not answer. */
export function refusalOf(problem: unknown, status: number): ServiceError | Unanswered {
  if (typeof problem !== 'object' || problem === null || !('code' in problem)) {
    // Something in between speaks: a proxy, another server at that address.
    return new Unanswered('answered_badly', true);
  }
  const { code, detail } = problem as { readonly code: unknown; readonly detail?: unknown };
  const details = factsOf(problem);
  if (typeof code !== 'string' || !Object.hasOwn(errorRegister, code)) {
    return new ServiceError('store_unavailable', { store: 'door', reason: 'unknown_refusal', refusal: code, status });
  }
  const known = code as ErrorCode;
  const isOwnWords = typeof detail === 'string' && detail !== errorRegister[known].doc;
  return new ServiceError(known, details, isOwnWords ? { message: detail } : {});
}

function isOfTheDoor({ details }: ServiceError): boolean {
  return details['store'] === 'door';
}
