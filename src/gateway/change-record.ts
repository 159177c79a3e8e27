// Changes a record that others write too: reads it, steps it, writes it if nobody came between, a few times.

import type { KeyedRecords } from '../contracts/records.ts';
import { ServiceError } from '../core/errors.ts';

const tries = 5;

/** Whatever `find` or `step` throw ends it. `step` answers null where the record may stay as it is. Rejects with `store_conflict`. */
export async function changeRecord<T>(
  records: Pick<KeyedRecords<T>, 'replace'>,
  find: () => Promise<T>,
  step: (standing: T) => T | null,
): Promise<T> {
  for (let tried = 0; tried < tries; tried += 1) {
    const standing = await find();
    const next = step(standing);
    if (next === null) return standing;
    const written = await records.replace(next);
    if (written !== null) return written;
  }
  throw new ServiceError('store_conflict');
}
