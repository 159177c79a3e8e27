// Records in a file serve the processes of one machine. Two machines, or two data directories, behind one Redis
// would be two truths about one fleet: who comes second is refused.

import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { hostTime } from '../adapters/sqlite/host-time.ts';
import type { Leadership } from '../contracts/leadership.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';

export type OneDataDirParts = {
  /** Held by all roles together, in the name of their data directory. */
  readonly claims: Leadership;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

const claimMs = 60_000;
const renewEveryMs = 20_000;

/** Rejects with `store_unavailable`, in words for a person. The returned function ends the claim's renewal. */
export async function claimOneDataDir({ claims, clock, dataDir, logger }: OneDataDirParts): Promise<() => void> {
  const name = `${hostTime().bootId} ${await realpath(dataDir)}`;
  const holder = createHash('sha256').update(name).digest('hex');
  if (!(await claims.hold(holder, claimMs))) {
    const message =
      'another data directory, or another machine, uses this Redis: records in a file serve one machine; give this ' +
      'fleet a Redis or a redis.key_prefix of its own, or wait a minute if the other has just been stopped';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  let isEnded = false;
  let cancel: () => void = () => {};
  const renewLater = (): void => {
    cancel = clock.after(renewEveryMs, () => {
      // While Redis is away nobody else can claim it either.
      claims.hold(holder, claimMs).then(
        (isOurs) => {
          if (!isOurs) logger.error({ event: 'data_dir_contested' }, 'another data directory uses the same Redis');
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
