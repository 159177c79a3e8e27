// What Pub/Sub and its client say when something fails, in the words of the error register. The only place
// that reads their codes.

import { ServiceError } from '../../core/errors.ts';

/** Of gRPC, as far as they are told apart here. */
export const notFoundCode = 5;
export const permissionDeniedCode = 7;
export const unimplementedCode = 12;

const reasons: Readonly<Record<number, string>> = {
  1: 'cancelled',
  3: 'refused',
  4: 'timeout',
  5: 'not_found',
  7: 'permission_denied',
  8: 'quota_exceeded',
  9: 'refused',
  10: 'aborted',
  13: 'internal',
  14: 'unreachable',
  16: 'unauthenticated',
};

/** Those that go by themselves: worth another try soon. */
const passing = new Set(['cancelled', 'timeout', 'quota_exceeded', 'aborted', 'internal', 'unreachable', 'unknown']);

export function codeOf(error: unknown): number | null {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'number' ? code : null;
}

export function unavailablePubsub(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('store_unavailable', { store: 'pubsub', reason }, { cause });
}

export function pubsubError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  return unavailablePubsub(reasonOf(error), error);
}

export function reasonOf(error: unknown): string {
  if (error instanceof ServiceError) {
    const { reason } = error.details;
    return typeof reason === 'string' ? reason : error.code;
  }
  const code = codeOf(error);
  if (code !== null) return reasons[code] ?? 'unknown';
  const isOfCredentials = error instanceof Error && /credential|project id/i.test(error.message);
  return isOfCredentials ? 'no_credentials' : 'unknown';
}

export function isPassing(reason: string): boolean {
  return passing.has(reason);
}

const lostLease = 'PERMANENT_FAILURE';

/**
 * What came of each of the ids that one call named. A subscription with exactly-once delivery says it of each;
 * any other takes all or, when the call failed, none.
 */
export function answeredIds(ackIds: readonly string[], error: unknown): { again: string[]; lost: string[] } {
  const info = error instanceof Error && 'errorInfoMetadata' in error ? error.errorInfoMetadata : null;
  const named = Object.entries((info ?? {}) as Record<string, unknown>).filter(([id]) => ackIds.includes(id));
  if (named.length === 0)
    return isPassing(reasonOf(error)) ? { again: [...ackIds], lost: [] } : { again: [], lost: [...ackIds] };
  const lost = named.filter(([, said]) => String(said).startsWith(lostLease)).map(([id]) => id);
  return { again: named.map(([id]) => id).filter((id) => !lost.includes(id)), lost };
}
