import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../../core/errors.ts';
import { firestoreError, grpcCodeOf, kindOfFailure } from './firestore-errors.ts';

function failure(code: number | string, message = 'said'): Error {
  return Object.assign(new Error(message), { code });
}

test('each of gRPC’s codes has its code and reason, and says what a retry would do', () => {
  const said = Array.from({ length: 16 }, (_, at) => {
    const error = failure(at + 1);
    const { code, details } = firestoreError(error, 'jobs.get');
    assert.equal(details['operation'], 'jobs.get');
    assert.equal(details['grpc_code'], grpcCodeOf(error));
    return [grpcCodeOf(error), code, details['reason'], kindOfFailure(error)].join(' ');
  });
  assert.deepEqual(said, [
    'CANCELLED store_unavailable failing unclear',
    'UNKNOWN store_unavailable failing unclear',
    'INVALID_ARGUMENT internal  final',
    'DEADLINE_EXCEEDED store_unavailable timeout unclear',
    'NOT_FOUND store_unavailable no_database condition',
    'ALREADY_EXISTS internal  condition',
    'PERMISSION_DENIED store_unavailable refused final',
    'RESOURCE_EXHAUSTED store_unavailable quota unclear',
    'FAILED_PRECONDITION store_unavailable missing_index condition',
    'ABORTED store_unavailable failing unclear',
    'OUT_OF_RANGE internal  final',
    'UNIMPLEMENTED internal  final',
    'INTERNAL store_unavailable failing unclear',
    'UNAVAILABLE store_unavailable unreachable unclear',
    'DATA_LOSS store_unavailable failing final',
    'UNAUTHENTICATED store_unavailable unauthenticated final',
  ]);
});

test('what is no answer of a server is told by its words', () => {
  for (const [error, code, reason] of [
    [new Error('Could not load the default credentials. Browse to …'), 'store_unavailable', 'no_credentials'],
    [new Error('Unable to detect a Project Id in the current environment.'), 'store_unavailable', 'no_project'],
    [failure('ENOTFOUND', 'getaddrinfo ENOTFOUND metadata.google.internal'), 'store_unavailable', 'unreachable'],
    [failure(2, 'Getting metadata from plugin failed with error: 503'), 'store_unavailable', 'no_credentials'],
    [
      failure(9, 'The Cloud Firestore API is not available for Firestore in Datastore Mode'),
      'store_unavailable',
      'wrong_mode',
    ],
    [failure(8, 'gRPC message exceeds maximum size 4194304'), 'payload_too_large', undefined],
    [new TypeError('x is not a function'), 'internal', undefined],
    ['a text', 'internal', undefined],
  ] as const) {
    const told = firestoreError(error, 'open');
    assert.deepEqual([told.code, told.details['reason']], [code, reason], String(error));
  }
  assert.equal(kindOfFailure(failure(16, 'Getting metadata from plugin failed with error: 503')), 'unclear');
  const typed = new ServiceError('session_corrupt');
  assert.equal(firestoreError(typed, 'open'), typed);
});
