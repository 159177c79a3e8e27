// A turn whose record the store did not confirm, and may have all the same: its client was told that nothing was
// accepted and will ask again, under no name by which the two could be known for one. So it must not run.

import type { ServiceError } from '../core/errors.ts';
import type { TurnRecord } from '../core/turn.ts';
import { endRefused } from './dispatch.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'records' | 'clock' | 'logger'>;

/** Between tries: a store that was away comes back, and a write that was on its way arrives. */
const delaysMs = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000];
/** Of those at once; beyond that the store has been away for long, and turns wait in it for whoever looks after them. */
const mostAtOnce = 1_000;
let underWay = 0;

/** Never rejects. One that a worker has begun goes on: the conditional write finds that out. */
export async function withdrawTurn(
  parts: Parts,
  { id, tenant }: Pick<TurnRecord, 'id' | 'tenant'>,
  refusal: ServiceError,
): Promise<void> {
  const { clock, logger } = parts;
  if (underWay >= mostAtOnce) return;
  underWay++;
  try {
    for (const delayMs of delaysMs) {
      await new Promise<void>((resolve) => clock.after(delayMs, resolve));
      if (!(await isSettled(parts, { id, tenant }, refusal))) continue;
      logger.warn({ event: 'turn_withdrawn', turn_id: id }, 'A turn that was refused had been recorded, and was ended');
      return;
    }
  } finally {
    underWay--;
  }
}

/** false: it is not there, or not yet, or the store does not say. */
async function isSettled(
  parts: Parts,
  { id, tenant }: Pick<TurnRecord, 'id' | 'tenant'>,
  refusal: ServiceError,
): Promise<boolean> {
  try {
    const turn = await parts.records.turns.get(tenant, id);
    if (turn === null) return false;
    return turn.status !== 'queued' || (await endRefused(parts, turn, refusal));
  } catch {
    return false;
  }
}
