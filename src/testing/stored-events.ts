// Events as a worker would write them, for tests of what stores and carries them.

import { crc32 } from 'node:zlib';
import type { LogKey } from '../contracts/event-log.ts';
import { formatCursor, type StoredEvent } from '../core/event.ts';

export type EventSketch = {
  readonly key: LogKey;
  readonly epoch: number;
  readonly seq: number;
  readonly text?: string;
  readonly raw?: string | null;
};

export function storedEvent({ key, epoch, seq, text = `event ${seq}`, raw = null }: EventSketch): StoredEvent {
  const at = Date.UTC(2026, 0, 1) + seq;
  const type = 'item.delta';
  const body = JSON.stringify({
    seq,
    cursor: formatCursor({ epoch, seq }),
    type,
    session_id: key.sessionId,
    turn_id: null,
    at: new Date(at).toISOString(),
    text,
  });
  const checksum = crc32(`${body}\n${raw ?? ''}`);
  return { version: 1, header: { ...key, turnId: null, epoch, seq, type, at, checksum }, body, raw };
}

/** Events with the seqs from first to last, both included. */
export function storedEvents(key: LogKey, epoch: number, first: number, last: number): StoredEvent[] {
  return Array.from({ length: last - first + 1 }, (_, index) => storedEvent({ key, epoch, seq: first + index }));
}
