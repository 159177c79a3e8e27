// What the operating system says about files of a workspace, in the words of the register. The one file
// of this folder that knows its codes.

import { isDiskFull } from '../core/disk-full.ts';
import { ServiceError } from '../core/errors.ts';

/** Something else stands there, or came to stand there while we looked. */
const inTheWayCodes: ReadonlySet<unknown> = new Set(['ENOTDIR', 'ELOOP', 'EISDIR', 'EEXIST', 'ENOTEMPTY', 'ENXIO']);

export function fileNotFound(path: string): ServiceError {
  return new ServiceError('file_not_found', { path });
}

export function fileExists(path: string): ServiceError {
  return new ServiceError('file_exists', { path });
}

/** The error of a write at `path`. */
export function writeError(error: unknown, path: string): unknown {
  if (error instanceof ServiceError) return error;
  if (isDiskFull(error)) return new ServiceError('storage_full', {}, { cause: error });
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (inTheWayCodes.has(code)) return new ServiceError('file_exists', { path }, { cause: error });
  return error;
}
