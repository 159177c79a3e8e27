// What the file system's errors mean to callers of a store: the only place here that knows their codes.

import { isDiskFull } from '../../core/disk-full.ts';
import { ServiceError } from '../../core/errors.ts';

/** For calls of the file system alone: an error of a caller's own must not pass for one of the disk. */
export async function storing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translateFileError(error);
  }
}

/** null where the work found nothing there. */
export async function ifPresent<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw translateFileError(error);
  }
}

export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function translateFileError(error: unknown): unknown {
  if (error instanceof ServiceError || !(error instanceof Error && 'syscall' in error)) return error;
  const code = codeOf(error);
  if (isDiskFull(error)) return new ServiceError('storage_full', {}, { cause: error });
  const reason = code === 'EROFS' ? 'read_only' : code === 'EACCES' || code === 'EPERM' ? 'no_permission' : 'io_error';
  return new ServiceError('store_unavailable', { reason }, { cause: error });
}
