// Events as bytes, one frame after the other: what a stream's entry and a published message hold. Frozen in
// its first version: other versions of this program read what we write. Bodies are carried, not parsed.

import { crc32 } from 'node:zlib';
import type { LogKey } from '../../contracts/event-log.ts';
import { ServiceError } from '../../core/errors.ts';
import type { EventHeader, StoredEvent } from '../../core/event.ts';

/*
 * A frame: its length behind this field (u32), version (u8), flags (u8), epoch, seq, at (f64 each), checksum
 * (u32), length of the type and of the turn's id (u16 each), length of the body (u32); then type, turn's id,
 * body, and to the end the raw line. Big-endian, texts in UTF-8.
 */
const lengthBytes = 4;
const headBytes = lengthBytes + 2 + 3 * 8 + 4 + 2 * 2 + 4;
const version = 1;
const hasTurn = 1;
const hasRaw = 2;

export const checksumBytes = 4;

export type PackedEvents = {
  readonly frames: Buffer;
  /** Of each event its checksum (u32): by them a repeated batch is told from another. */
  readonly checksums: Buffer;
};

export function packEvents(events: readonly StoredEvent[]): PackedEvents {
  const frames: Buffer[] = [];
  const checksums = Buffer.alloc(events.length * checksumBytes);
  for (const [index, event] of events.entries()) {
    frames.push(packEvent(event));
    checksums.writeUInt32BE(event.header.checksum, index * checksumBytes);
  }
  return { frames: Buffer.concat(frames), checksums };
}

/** Rejects what was not written so, or not for this session, with `session_corrupt`. */
export function unpackEvents(key: LogKey, frames: Buffer): StoredEvent[] {
  const events: StoredEvent[] = [];
  for (let start = 0; start < frames.length; ) {
    const end = start + headBytes > frames.length ? -1 : start + lengthBytes + frames.readUInt32BE(start);
    if (end < start + headBytes || end > frames.length) throw damaged(key);
    events.push(unpackEvent(key, frames.subarray(start, end)));
    start = end;
  }
  return events;
}

function packEvent({ header, body, raw }: StoredEvent): Buffer {
  const { epoch, seq, at, checksum, type, turnId } = header;
  const typeBytes = Buffer.byteLength(type);
  const turnBytes = turnId === null ? 0 : Buffer.byteLength(turnId);
  const bodyBytes = Buffer.byteLength(body);
  const rawBytes = raw === null ? 0 : Buffer.byteLength(raw);
  const frame = Buffer.allocUnsafe(headBytes + typeBytes + turnBytes + bodyBytes + rawBytes);
  let place = frame.writeUInt32BE(frame.length - lengthBytes, 0);
  place = frame.writeUInt8(version, place);
  place = frame.writeUInt8((turnId === null ? 0 : hasTurn) | (raw === null ? 0 : hasRaw), place);
  for (const number of [epoch, seq, at]) place = frame.writeDoubleBE(number, place);
  place = frame.writeUInt32BE(checksum, place);
  place = frame.writeUInt16BE(typeBytes, place);
  place = frame.writeUInt16BE(turnBytes, place);
  place = frame.writeUInt32BE(bodyBytes, place);
  for (const text of [type, turnId ?? '', body, raw ?? '']) place += frame.write(text, place, 'utf8');
  return frame;
}

function unpackEvent(key: LogKey, frame: Buffer): StoredEvent {
  const flags = frame.readUInt8(5);
  const checksum = frame.readUInt32BE(30);
  const typeEnd = headBytes + frame.readUInt16BE(34);
  const turnEnd = typeEnd + frame.readUInt16BE(36);
  const bodyEnd = turnEnd + frame.readUInt32BE(38);
  if (frame.readUInt8(4) !== version || bodyEnd > frame.length) throw damaged(key);
  const [body, raw] = [frame.subarray(turnEnd, bodyEnd), frame.subarray(bodyEnd)];
  if (crc32(raw, crc32('\n', crc32(body))) !== checksum) throw damaged(key);
  const header: EventHeader = {
    tenant: key.tenant,
    sessionId: key.sessionId,
    turnId: (flags & hasTurn) === 0 ? null : frame.toString('utf8', typeEnd, turnEnd),
    epoch: frame.readDoubleBE(6),
    seq: frame.readDoubleBE(14),
    type: frame.toString('utf8', headBytes, typeEnd),
    at: frame.readDoubleBE(22),
    checksum,
  };
  return { version, header, body: body.toString('utf8'), raw: (flags & hasRaw) === 0 ? null : raw.toString('utf8') };
}

function damaged(key: LogKey): ServiceError {
  return new ServiceError('session_corrupt', { session_id: key.sessionId, part: 'event' });
}
