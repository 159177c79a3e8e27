// What a worker answered: JSON of a bounded size, or a refusal with a code of the register.

import { factsOf } from '../../api/problem.ts';
import { errorRegister, ServiceError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';

/** A diff of a large change is the longest of them. */
const maxReplyBytes = 256 * 1024 * 1024;

export async function readJson(body: AsyncIterable<Uint8Array>): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > maxReplyBytes) throw new Error('the answer of a worker is too long');
    pieces.push(piece);
  }
  return JSON.parse(Buffer.concat(pieces).toString('utf8'));
}

/** As the worker threw it. What a worker of ours would not say is not passed on. */
export function refusalOf(worker: WorkerId, problem: unknown, status: number): ServiceError {
  if (!isProblem(problem)) return new ServiceError('worker_lost', { worker, reason: 'answered_badly', status });
  const { code, detail } = problem;
  const details = factsOf(problem);
  switch (code) {
    // It did not get as far as the call: our credential, our version or its run is another.
    case 'unauthenticated':
      return new ServiceError('worker_unreachable', { worker, reason: 'credential_refused' });
    case 'not_found':
    case 'method_not_allowed':
    case 'unsupported_media_type':
      return new ServiceError('worker_unreachable', { worker, reason: 'call_not_known' });
    case 'worker_unreachable':
      return new ServiceError(code, { ...details, worker, reason: 'other_boot' });
    default:
      return new ServiceError(code, details, detail === errorRegister[code].doc ? {} : { message: detail });
  }
}

type ProblemReply = { readonly code: ErrorCode; readonly detail: string };

function isProblem(value: unknown): value is ProblemReply {
  if (typeof value !== 'object' || value === null) return false;
  const { code, detail } = value as Partial<Record<keyof ProblemReply, unknown>>;
  return typeof code === 'string' && Object.hasOwn(errorRegister, code) && typeof detail === 'string';
}
