// Puts one object: what is small in one request, the rest by a resumable upload in bounded chunks. The name is
// taken by whoever is first; our own write is known again by its write id when its answer was lost.

import { randomUUID } from 'node:crypto';
import { ServiceError } from '../../core/errors.ts';
import { setImmediate } from 'node:timers/promises';
import type { CallDeadline } from './call-deadline.ts';
import { crc32c, crc32cText } from './crc32c.ts';
import type { GcsCall, GcsHttp } from './gcs-http.ts';
import { corrupted, type GcsReply, unavailable } from './gcs-problem.ts';

export type UploadTarget = {
  readonly http: GcsHttp;
  readonly bucket: string;
  /** The whole name. */
  readonly object: string;
  /** Of a chunk, and the most that goes in one request: a multiple of 256 KiB. */
  readonly chunkBytes: number;
};

type Content = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
/** What the server says of an object. */
type Resource = {
  readonly generation?: string;
  readonly size?: string;
  readonly crc32c?: string;
  readonly metadata?: Readonly<Record<string, string>>;
};

const firstRoomBytes = 64 * 1024;
const slicedBytes = 256 * 1024;
const writeIdName = 'fleet-write';
const fields = 'name,generation,size,crc32c,metadata';
/** The rest of the time is for taking back what may have been written. */
const writingPart = 0.75;
const takingBackPart = 0.25;

/** As SnapshotStore.put. */
export async function upload(target: UploadTarget, content: Content): Promise<void> {
  await new Upload(target).run(content);
}

class Upload {
  readonly #target: UploadTarget;
  readonly #writeId = randomUUID();
  #crc = 0;
  /** Of what was filled in so far, and of what the server has. */
  #bytes = 0;
  #committed = 0;
  /** Of the resumable upload, once there is one. */
  #session: string | null = null;
  #room: Buffer = Buffer.alloc(0);
  #used = 0;

  constructor(target: UploadTarget) {
    this.#target = target;
  }

  async run(content: Content): Promise<void> {
    try {
      for await (const piece of content) await this.#take(piece);
    } catch (error) {
      if (this.#session !== null) await this.#cancel(this.#session);
      throw error;
    }
    try {
      if (this.#session === null) await this.#putWhole();
      else await this.#sendChunk(this.#session, true);
    } catch (error) {
      await this.#takeBack(error);
      throw error;
    }
  }

  async #take(piece: Uint8Array): Promise<void> {
    const { chunkBytes } = this.#target;
    for (let taken = 0; taken < piece.length; ) {
      // Sent only when there is more: what comes last is told as the last.
      if (this.#used === chunkBytes) await this.#sendChunk((this.#session ??= await this.#begin()), false);
      const part = piece.subarray(taken, taken + Math.min(chunkBytes - this.#used, slicedBytes));
      this.#makeRoom(part.length);
      this.#room.set(part, this.#used);
      this.#crc = crc32c(part, this.#crc);
      this.#used += part.length;
      this.#bytes += part.length;
      taken += part.length;
      if (part.length === slicedBytes) await setImmediate();
    }
  }

  #makeRoom(bytes: number): void {
    if (this.#used + bytes <= this.#room.length) return;
    const wanted = Math.max(firstRoomBytes, this.#room.length * 2, this.#used + bytes);
    const larger = Buffer.allocUnsafeSlow(Math.min(wanted, this.#target.chunkBytes));
    this.#room.copy(larger, 0, 0, this.#used);
    this.#room = larger;
  }

  async #putWhole(): Promise<void> {
    const deadline = this.#target.http.newDeadline(writingPart, this.#used);
    const boundary = `fleet-${this.#writeId}`;
    const head =
      `--${boundary}\r\ncontent-type: application/json\r\n\r\n` +
      `${JSON.stringify({ ...this.#resource(), crc32c: crc32cText(this.#crc) })}\r\n` +
      `--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
    const reply = await this.#target.http.call({
      ...this.#asked('insert'),
      kind: 'class_a',
      method: 'POST',
      url: this.#uploadUrl(),
      query: { uploadType: 'multipart', ifGenerationMatch: '0', fields },
      headers: { 'content-type': `multipart/related; boundary=${boundary}` },
      body: [Buffer.from(head), this.#room.subarray(0, this.#used), Buffer.from(`\r\n--${boundary}--\r\n`)],
      accept: [412],
      deadline,
    });
    if (reply.status === 412) await this.#assertOurs(deadline);
    else await this.#verify(resourceOf(reply));
  }

  async #begin(): Promise<string> {
    const reply = await this.#target.http.call({
      ...this.#asked('begin_upload'),
      kind: 'class_a',
      method: 'POST',
      url: this.#uploadUrl(),
      query: { uploadType: 'resumable', ifGenerationMatch: '0', fields },
      headers: { 'content-type': 'application/json', 'x-upload-content-type': 'application/octet-stream' },
      body: [Buffer.from(JSON.stringify(this.#resource()))],
      accept: [412],
    });
    if (reply.status === 412) throw this.#taken();
    const { location } = reply.headers;
    if (typeof location !== 'string') throw unexpected('an upload begins without an address');
    return location;
  }

  /** Until the server has all of it, from where it says that it stands. */
  async #sendChunk(session: string, isLast: boolean): Promise<void> {
    const { http } = this.#target;
    let deadline = http.newDeadline(writingPart, this.#bytes - this.#committed);
    for (let attempt = 1; ; attempt += 1) {
      const before = this.#committed;
      const { reply, error } = await this.#sendRest(session, isLast, deadline);
      if (reply === 'ours') return;
      if (reply.status !== 308) {
        if (!isLast) throw unexpected('an upload ended before its last chunk');
        await this.#verify(resourceOf(reply));
        return;
      }
      this.#committed = committedBytes(reply, before, this.#bytes);
      if (this.#committed === this.#bytes && !isLast) {
        this.#used = 0;
        return;
      }
      if (this.#committed > before) {
        deadline = http.newDeadline(writingPart, this.#bytes - this.#committed);
        attempt = 0;
      } else if (!(await http.backOff(attempt, deadline))) {
        throw error ?? unexpected('an upload does not get on');
      }
    }
  }

  /** What the server says of the upload then, and the failure that made it necessary to ask. */
  async #sendRest(
    session: string,
    isLast: boolean,
    deadline: CallDeadline,
  ): Promise<{ reply: GcsReply | 'ours'; error: Error | null }> {
    const { http } = this.#target;
    const rest = this.#room.subarray(this.#used - (this.#bytes - this.#committed), this.#used);
    const total = isLast ? String(this.#bytes) : '*';
    const range = rest.length === 0 ? '*' : `${this.#committed}-${this.#bytes - 1}`;
    const accept = [308, 404, 410, 412, 499];
    const common = {
      ...this.#asked('send_chunk'),
      kind: 'free',
      method: 'PUT',
      url: session,
      accept,
      deadline,
    } as const;
    const hash: Record<string, string> = isLast ? { 'x-goog-hash': `crc32c=${crc32cText(this.#crc)}` } : {};
    const headers = { 'content-range': `bytes ${range}/${total}`, ...hash };
    let reply: GcsReply;
    let failure: ServiceError | null = null;
    try {
      reply = await http.call({ ...common, headers, body: [rest], isOnce: true });
    } catch (error) {
      if (!isPassing(error)) throw error;
      failure = error;
      // What came of it is the server's to say, asked until it says it.
      const status = { 'content-range': `bytes */${total}` };
      reply = await http.call({ ...common, operation: 'ask_upload', headers: status });
    }
    if (reply.status < 400) return { reply, error: failure };
    if (reply.status !== 412 && !isLast) {
      throw unavailable('upload_lost', 'Cloud Storage forgot an upload', { status: reply.status });
    }
    // Taken by another, or ended by an answer that was lost.
    await this.#assertOurs(deadline);
    return { reply: 'ours', error: failure };
  }

  /** Rejects with `store_conflict` when the name has another write's content. */
  async #assertOurs(deadline: CallDeadline): Promise<void> {
    const found = await this.#find(deadline);
    if (found?.metadata?.[writeIdName] === this.#writeId) return await this.#verify(found);
    if (found !== null) throw this.#taken();
    throw unavailable('upload_lost', 'the name was taken when it was written, and is not any more', {});
  }

  async #verify(found: Resource): Promise<void> {
    if (found.size === String(this.#bytes) && found.crc32c === crc32cText(this.#crc)) return;
    throw corrupted();
  }

  /** What may be there of a write that failed: only our own. */
  async #takeBack(error: unknown): Promise<void> {
    if (!(error instanceof ServiceError) || error.code !== 'store_unavailable') return;
    if (['refused', 'no_bucket', 'no_credentials', 'closed'].includes(String(error.details['reason']))) return;
    const deadline = this.#target.http.newDeadline(takingBackPart, 0);
    if (this.#session !== null) await this.#cancel(this.#session, deadline);
    try {
      const found = await this.#find(deadline);
      if (found?.generation === undefined || found.metadata?.[writeIdName] !== this.#writeId) return;
      await this.#target.http.call({
        ...this.#asked('take_back'),
        permission: 'storage.objects.delete',
        kind: 'free',
        method: 'DELETE',
        url: this.#objectUrl(),
        query: { ifGenerationMatch: found.generation },
        accept: [404, 412],
        deadline,
      });
    } catch {
      // The first failure is told. Names are used once: what is left is cleared with the session's other remains.
    }
  }

  async #cancel(
    session: string,
    deadline: CallDeadline = this.#target.http.newDeadline(takingBackPart, 0),
  ): Promise<void> {
    const call = { ...this.#asked('cancel_upload'), kind: 'free', method: 'DELETE', url: session } as const;
    // Unanswered it is no matter: an upload that is not finished is named nowhere, and ends after a week.
    await this.#target.http.call({ ...call, accept: [404, 410, 499], isOnce: true, deadline }).catch(() => undefined);
  }

  async #find(deadline: CallDeadline): Promise<Resource | null> {
    const reply = await this.#target.http.call({
      ...this.#asked('find'),
      permission: 'storage.objects.get',
      kind: 'class_b',
      method: 'GET',
      url: this.#objectUrl(),
      query: { fields },
      accept: [404],
      deadline,
    });
    return reply.status === 404 ? null : resourceOf(reply);
  }

  #resource(): { name: string; contentType: string; metadata: Record<string, string> } {
    return {
      name: this.#target.object,
      contentType: 'application/octet-stream',
      metadata: { [writeIdName]: this.#writeId },
    };
  }

  #asked(operation: string): Pick<GcsCall, 'operation' | 'permission'> {
    return { operation, permission: 'storage.objects.create' };
  }

  #taken(): ServiceError {
    return new ServiceError('store_conflict', { object: this.#target.object.split('/').at(-1) });
  }

  #uploadUrl(): string {
    return `/upload/storage/v1/b/${encodeURIComponent(this.#target.bucket)}/o`;
  }

  #objectUrl(): string {
    const { bucket, object } = this.#target;
    return `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(object)}`;
  }
}

function resourceOf(reply: GcsReply): Resource {
  try {
    return JSON.parse(Buffer.from(reply.body).toString()) as Resource;
  } catch (error) {
    throw unexpected('an answer about an object cannot be read', error);
  }
}

/** The server keeps what it has: less than we knew of would be lost content. */
function committedBytes(reply: GcsReply, before: number, most: number): number {
  const last = /^bytes=0-(\d+)$/.exec(String(reply.headers['range'] ?? ''))?.[1];
  const committed = last === undefined ? 0 : Number(last) + 1;
  if (committed < before || committed > most) throw unexpected('an upload stands where we do not');
  return committed;
}

function isPassing(error: unknown): error is ServiceError {
  if (!(error instanceof ServiceError) || error.code !== 'store_unavailable') return false;
  return ['timeout', 'unreachable', 'failing', 'rate_limited'].includes(String(error.details['reason']));
}

function unexpected(message: string, cause?: unknown): ServiceError {
  return unavailable('unexpected_answer', message, {}, cause);
}
