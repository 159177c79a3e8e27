// What Firestore and its client say when something fails, in the words of the error register. The only place
// that knows gRPC's codes and reads their messages.

import { ServiceError } from '../../core/errors.ts';

const codeNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type GrpcCode = (typeof codeNames)[number];

export type FailureKind =
  /** It may have happened or not; the same again may succeed. */
  | 'unclear'
  /** A condition of a write did not hold, if this answers the first attempt. */
  | 'condition'
  /** The same again will fail again. */
  | 'final';

const needed = 'roles/datastore.user';

/** null for an error that no server and no channel made. */
export function grpcCodeOf(error: unknown): GrpcCode | null {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'number' ? (codeNames[code] ?? null) : null;
}

export function kindOfFailure(error: unknown): FailureKind {
  if (lacksToken(error)) return 'unclear';
  switch (grpcCodeOf(error)) {
    case 'CANCELLED':
    case 'UNKNOWN':
    case 'DEADLINE_EXCEEDED':
    case 'ABORTED':
    case 'INTERNAL':
    case 'UNAVAILABLE':
      return 'unclear';
    case 'RESOURCE_EXHAUSTED':
      return isTooLarge(error) ? 'final' : 'unclear';
    case 'ALREADY_EXISTS':
    case 'FAILED_PRECONDITION':
    case 'NOT_FOUND':
      return 'condition';
    default:
      return 'final';
  }
}

/**
 * `operation`: what was asked of the records. Not for conditions of writes: those who wrote know what they mean.
 * A read names what it looks for, so that NOT_FOUND speaks of the database.
 */
export function firestoreError(error: unknown, operation: string): ServiceError {
  if (error instanceof ServiceError) return error;
  const code = grpcCodeOf(error);
  const message = error instanceof Error ? error.message : '';
  const unavailable = (reason: string, facts: Readonly<Record<string, unknown>> = {}, words?: string): ServiceError =>
    new ServiceError(
      'store_unavailable',
      { store: 'firestore', reason, operation, ...(code === null ? {} : { grpc_code: code }), ...facts },
      { cause: error, ...(words === undefined ? {} : { message: words }) },
    );
  if (lacksToken(error)) return unavailable('no_credentials', {}, 'No access token could be had for Firestore.');
  switch (code) {
    case 'UNAVAILABLE':
      return unavailable('unreachable');
    case 'DEADLINE_EXCEEDED':
      return unavailable('timeout');
    case 'CANCELLED':
    case 'UNKNOWN':
    case 'ABORTED':
    case 'INTERNAL':
    case 'DATA_LOSS':
      return unavailable('failing');
    case 'RESOURCE_EXHAUSTED':
      return isTooLarge(error)
        ? new ServiceError('payload_too_large', {}, { cause: error })
        : unavailable('quota', {}, 'Firestore refuses more for now: a quota or a rate limit is used up.');
    case 'PERMISSION_DENIED':
      return unavailable(
        'refused',
        { missing_role: needed },
        `Firestore refuses these credentials: they need the role ${needed}, and the API must be enabled.`,
      );
    case 'UNAUTHENTICATED':
      return unavailable('unauthenticated', {}, 'Firestore does not accept these credentials.');
    case 'NOT_FOUND':
      return unavailable(
        'no_database',
        {},
        'There is no such Firestore database in the project; make it in Native mode.',
      );
    case 'FAILED_PRECONDITION':
      return /datastore mode/i.test(message)
        ? unavailable('wrong_mode', {}, 'The Firestore database is in Datastore mode; Native mode is needed.')
        : unavailable(
            'missing_index',
            {},
            'An index is missing in the Firestore database, or still being built: deploy firestore.indexes.json.',
          );
    case null:
      if (isOfConnection(error)) return unavailable('unreachable');
      if (isOfProject(message))
        return unavailable('no_project', {}, 'The Google Cloud project is not known: set google.project.');
      if (!isOfCredentials(message)) return internal(error, operation);
      return unavailable('no_credentials', {}, `No Google Cloud credentials were found: ${message}`);
    default:
      return internal(error, operation);
  }
}

/** Nothing was answered in time, and nobody said why. */
export function lateFirestore(operation: string): ServiceError {
  const details = { store: 'firestore', reason: 'timeout', operation, grpc_code: 'DEADLINE_EXCEEDED' };
  return new ServiceError('store_unavailable', details);
}

export function closedFirestore(operation: string): ServiceError {
  return new ServiceError('store_unavailable', { store: 'firestore', reason: 'closed', operation });
}

function internal(cause: unknown, operation: string): ServiceError {
  const code = grpcCodeOf(cause);
  return new ServiceError('internal', { operation, ...(code === null ? {} : { grpc_code: code }) }, { cause });
}

/** The metadata server or the token service did not answer: nothing was sent, and the next try may get one. */
function lacksToken(error: unknown): boolean {
  return error instanceof Error && /getting metadata from plugin failed/i.test(error.message);
}

/** The server and the channel both say so with the code of a used-up quota. */
function isTooLarge(error: unknown): boolean {
  return error instanceof Error && /exceeds maximum|larger than max/i.test(error.message);
}

function isOfCredentials(message: string): boolean {
  return /credentials|metadata|token|keyfile|client_email|impersonat/i.test(message);
}

function isOfProject(message: string): boolean {
  return /project id/i.test(message);
}

function isOfConnection(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^E[A-Z_]+$/.test(String(error.code));
}
