// What SQLite's and the file system's errors mean to callers: the only place that knows their codes.

import { isDiskFull } from '../../core/disk-full.ts';
import { ServiceError } from '../../core/errors.ts';

/** Primary result codes (sqlite.org/rescode.html); extended ones carry theirs in the low byte. */
const primary = {
  busy: 5,
  locked: 6,
  readonly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  notADatabase: 26,
} as const;

/** Another process holds the lock: nothing happened, and the same again will succeed once it is free. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === primary.busy || code === primary.locked || code === primary.protocol;
}

/**
 * `hasSpace` is asked where SQLite says "I/O error" or "cannot open" without saying why: its index in
 * shared memory cannot grow on a full disk either, and reports that so.
 */
export function translateSqliteError(error: unknown, hasSpace: () => boolean): ServiceError {
  if (error instanceof ServiceError) return error;
  if (isOutOfSpace(error)) return new ServiceError('storage_full', {}, { cause: error });
  switch (primaryCode(error)) {
    case primary.full:
      return new ServiceError('storage_full', {}, { cause: error });
    case primary.ioError:
    case primary.cannotOpen:
      if (!hasSpace()) return new ServiceError('storage_full', {}, { cause: error });
      return unavailable('io_error', error);
    case primary.readonly:
      return unavailable('read_only', error);
    case primary.busy:
    case primary.locked:
    case primary.protocol:
      return unavailable('busy', error);
    case primary.corrupt:
    case primary.notADatabase:
      return new ServiceError('store_corrupt', {}, { cause: error });
    case null:
      return isSystemError(error) ? unavailable('io_error', error) : internal(error);
    default:
      return internal(error);
  }
}

function unavailable(reason: 'io_error' | 'read_only' | 'busy', cause: unknown): ServiceError {
  return new ServiceError('store_unavailable', { reason }, { cause });
}

function internal(cause: unknown): ServiceError {
  return new ServiceError('internal', {}, { cause });
}

function primaryCode(error: unknown): number | null {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : null;
  return typeof code === 'number' ? code & 0xff : null;
}

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

function isOutOfSpace(error: unknown): boolean {
  return isSystemError(error) && isDiskFull(error);
}
