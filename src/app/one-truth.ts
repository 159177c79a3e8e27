// One Redis is one fleet's, and so are its records. Records in a file serve the processes of one machine: two
// machines, two data directories or two databases behind one Redis would be two truths. Who comes second is refused.

import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { hostTime } from '../adapters/sqlite/host-time.ts';
import type { Leadership } from '../contracts/leadership.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';

export type OneTruthParts = {
  /** Held by all roles together, in the name of their records. */
  readonly claims: Leadership;
  /** The same for all who share the records, and for nobody else. */
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

const claimMs = 60_000;
const renewEveryMs = 20_000;

/** Of records in a file: the machine, and the directory on it. */
export async function nameOfDataDir(dataDir: string): Promise<string> {
  return `${hostTime().bootId} ${await realpath(dataDir)}`;
}

/** Rejects with `store_unavailable`, in words for a person. The returned function ends the claim's renewal. */
export async function claimOneTruth({ claims, clock, logger, name }: OneTruthParts): Promise<() => void> {
  const holder = createHash('sha256').update(name).digest('hex');
  if (!(await claims.hold(holder, claimMs))) {
    const message =
      'a fleet with other records (another data directory, machine or database) uses this Redis: records in a file ' +
      'serve one machine, many hosts need --storage google; give this fleet a Redis or a redis.key_prefix of its own, ' +
      'or wait a minute if the other has just been stopped';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  let isEnded = false;
  let cancel: () => void = () => {};
  const renewLater = (): void => {
    cancel = clock.after(renewEveryMs, () => {
      // While Redis is away nobody else can claim it either.
      claims.hold(holder, claimMs).then(
        (isOurs) => {
          if (!isOurs) logger.error({ event: 'data_dir_contested' }, 'a fleet with other records uses the same Redis');
        },
        () => undefined,
      );
      if (!isEnded) renewLater();
    });
  };
  renewLater();
  return () => {
    isEnded = true;
    cancel();
  };
}
