// /api/v1/sessions/{id}/files: listing, reading, writing and deleting what is in a session's workspace.
// Whatever a file holds, it is answered as something to keep and never as something to show.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { toFileResource, toPathList } from '../../api/files.ts';
import { operations } from '../../api/operations.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import type { FileContent } from '../../contracts/workspace-link.ts';
import { ServiceError } from '../../core/errors.ts';
import { octetsOf } from '../../http/octet-body.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import { ifMatchOf, isKnownToClient, onlyIfAbsent, rangeOf, type WantedRange } from '../file-conditions.ts';
import type { Gear } from '../gateway-parts.ts';
import { sendOctets } from '../octet-reply.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';

export function registerFiles(gear: Gear, { app }: HttpServer): void {
  const { workspace, limits } = gear;

  registerOperation(app, gear, operations.listFiles, async ({ params, query, request }) => {
    const key = await keyOf(gear, request, params.session_id);
    const { path, recursive, after = null, limit } = query;
    const page = await workspace.listFiles(key, { path, recursive, after, limit });
    return toPathList(page.data.map(toFileResource), page.hasMore);
  });

  registerOperation(app, gear, operations.readFile, async ({ params, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    return sendFile(gear, request, reply, key, params.path);
  });

  registerOperation(app, gear, operations.writeFile, async ({ params, query, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    const { etag, isNew } = await workspace.writeFile(key, {
      path: params.path,
      isExecutable: query.executable,
      ifMatch: ifMatchOf(request.headers['if-match']),
      ifNoneMatch: onlyIfAbsent(request.headers['if-none-match']),
      content: uploadOf(gear, request, reply, limits.fileBytes),
    });
    return reply
      .code(isNew ? 201 : 204)
      .header('etag', etag)
      .send();
  });

  registerOperation(app, gear, operations.deleteFile, async ({ params, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    await workspace.deleteFile(key, params.path, ifMatchOf(request.headers['if-match']));
    return reply.code(204).send();
  });
}

/** The octets of a request's body, within the limits of uploads. */
export function uploadOf(
  { clock, limits }: Gear,
  request: FastifyRequest,
  reply: FastifyReply,
  bytes: number,
): AsyncIterable<Uint8Array> {
  return octetsOf(request, reply, clock, { bytes, stallMs: limits.stallMs, totalMs: limits.uploadMs });
}

export async function keyOf(gear: Gear, request: FastifyRequest, ref: string): Promise<SessionKey> {
  const { tenant, id } = await requireSession(gear, principalOf(request).tenant, ref);
  return { tenant, sessionId: id };
}

async function sendFile(
  gear: Gear,
  request: FastifyRequest,
  reply: FastifyReply,
  key: SessionKey,
  path: string,
): Promise<FastifyReply> {
  const { headers } = request;
  const wanted = request.method === 'HEAD' ? null : rangeOf(headers.range);
  let file = await gear.workspace.readFile(key, path, wanted?.kind === 'from' ? wanted : null);
  reply.headers(headersOf(file, path));
  if (isKnownToClient(headers['if-none-match'], file.etag)) {
    await close(file);
    return reply.code(304).send();
  }
  const ifRange = headers['if-range'];
  const range = ifRange === undefined || ifRange === file.etag ? wanted : null;
  const { size } = file.entry;
  if (range === null) {
    if (wanted?.kind === 'from') file = await again(gear, file, key, path, null);
    reply.headers(headersOf(file, path));
    return sendOctets(gear, request, reply, 200, { 'content-length': file.entry.size }, file.content);
  }
  const offset = offsetIn(range, size);
  if (offset >= size) {
    await close(file);
    reply.header('content-range', `bytes */${size}`);
    throw new ServiceError('range_not_satisfiable', { size });
  }
  const length = Math.min(range.length, size - offset);
  if (range.kind === 'suffix') {
    const { etag } = file;
    file = await again(gear, file, key, path, { offset, length });
    // It was of another length when the suffix was counted.
    if (file.etag !== etag) {
      await close(file);
      throw new ServiceError('store_conflict', { path });
    }
  }
  const contentRange = `bytes ${offset}-${offset + length - 1}/${size}`;
  const rangeHeaders = { 'content-length': length, 'content-range': contentRange };
  return sendOctets(gear, request, reply, 206, rangeHeaders, file.content);
}

function offsetIn(range: WantedRange, size: number): number {
  if (range.kind === 'from') return range.offset;
  return range.length === 0 ? size : Math.max(0, size - range.length);
}

function headersOf({ entry, etag }: FileContent, path: string): Readonly<Record<string, string>> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  return {
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename*=UTF-8''${encodeRfc8187(name)}`,
    'accept-ranges': 'bytes',
    'last-modified': new Date(entry.modifiedAt).toUTCString(),
    etag,
  };
}

/** encodeURIComponent leaves some marks that a parameter may not have. */
function encodeRfc8187(text: string): string {
  return encodeURIComponent(text).replaceAll(/['()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

async function again(
  gear: Gear,
  file: FileContent,
  key: SessionKey,
  path: string,
  range: { readonly offset: number; readonly length: number } | null,
): Promise<FileContent> {
  await close(file);
  return gear.workspace.readFile(key, path, range);
}

async function close({ content }: FileContent): Promise<void> {
  await content[Symbol.asyncIterator]().return?.();
}
