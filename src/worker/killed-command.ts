// A command that was ended for the memory it held, and how its session is told.

import type { EventDraft } from '../core/event.ts';
import type { TurnId } from '../core/ids.ts';
import type { CommandKillReason } from '../observability/metrics.ts';

export type KilledCommand = {
  readonly reason: CommandKillReason;
  /** What the command held, and what its session's commands may hold together. */
  readonly bytes: number;
  readonly limitBytes: number;
};

export function killedWarning({ bytes, limitBytes, reason }: KilledCommand, turnId: TurnId | null): EventDraft {
  const held = `A command was ended: it held ${mebibytes(bytes)} MiB of memory`;
  const message =
    reason === 'memory'
      ? `${held}, and the commands of a session may hold ${mebibytes(limitBytes)} MiB together.`
      : `${held}, and the memory of its worker was used up.`;
  return { type: 'warning', turnId, fields: { message, details: reason }, raw: null };
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 ** 2);
}
