// What the local Cloud Storage's requests mean, and their answers. Knows no connection.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { GcsBucket, GcsObject, GcsUpload, Refused } from './gcs-bucket.ts';
import type { GcsOperation } from './gcs-faults.ts';

export type GcsAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

export type GcsRoute = {
  readonly operation: GcsOperation;
  readonly bucket: string;
  readonly object: string | null;
  /** Of a resumable upload. */
  readonly upload: string | null;
  readonly query: URLSearchParams;
};

type Said = { name?: string; contentType?: string; crc32c?: string; metadata?: Record<string, string> };

const none = Buffer.alloc(0);
const chunkUnit = 256 * 1024;

export class GcsRequests {
  readonly #name: string;
  readonly #bucket: GcsBucket;
  readonly #granted: (permission: string) => boolean;
  #finished = new Map<string, GcsObject>();

  constructor(name: string, bucket: GcsBucket, granted: (permission: string) => boolean) {
    this.#name = name;
    this.#bucket = bucket;
    this.#granted = granted;
  }

  /** null for a call that is not known. The library leaves `/storage/v1` out when an environment variable leads here. */
  route({ method, headers }: IncomingMessage, { pathname, searchParams: query }: URL): GcsRoute | null {
    const match = /^\/?(upload\/)?(?:download\/)?(?:storage\/v1\/)?b\/([^/]+)(\/.*)?$/.exec(pathname);
    if (match === null) return null;
    const [, isUpload, bucketPart = '', rest = ''] = match;
    const object = rest.startsWith('/o/') ? decodeURIComponent(rest.slice(3)) : null;
    const as = (operation: GcsOperation, more: Partial<GcsRoute> = {}): GcsRoute => {
      return { operation, bucket: decodeURIComponent(bucketPart), object, upload: null, query, ...more };
    };
    const upload = query.get('upload_id');
    if (isUpload !== undefined && upload !== null) {
      const name = this.#bucket.upload(upload)?.name ?? null;
      if (method === 'DELETE') return as('cancel', { upload, object: name });
      const isStatus = headers['content-range']?.startsWith('bytes */') === true && headers['content-length'] === '0';
      return method === 'PUT' ? as(isStatus ? 'status' : 'chunk', { upload, object: name }) : null;
    }
    if (isUpload !== undefined && method === 'POST') {
      return as(query.get('uploadType') === 'resumable' ? 'begin' : 'insert', { object: query.get('name') });
    }
    if (method === 'GET' && rest === '/iam/testPermissions') return as('permissions');
    if (method === 'GET' && rest === '/o') return as('list');
    if (method === 'GET' && object !== null) return as(query.get('alt') === 'media' ? 'media' : 'get');
    if (method === 'GET' && rest === '') return as('bucket');
    return method === 'DELETE' && object !== null ? as('delete') : null;
  }

  answer(route: GcsRoute, { headers }: IncomingMessage, body: Buffer): GcsAnswer {
    if (route.bucket !== this.#name) return refusal(404, 'The specified bucket does not exist.', 'notFound');
    switch (route.operation) {
      case 'permissions':
        return json({ permissions: route.query.getAll('permissions').filter((one) => this.#granted(one)) });
      case 'bucket':
        return json({ kind: 'storage#bucket', name: this.#name });
      case 'list':
        return this.#list(route.query);
      case 'insert':
        return this.#insert(route, headers, body);
      case 'begin':
        return this.#begin(route, headers, body);
      case 'chunk':
      case 'status':
        return this.#chunk(route, headers, body);
      case 'cancel': {
        const upload = this.#bucket.upload(route.upload ?? '');
        if (upload !== null) this.#bucket.cancel(upload);
        return { status: upload === null ? 404 : 499, headers: {}, body: none };
      }
      case 'get': {
        const object = this.#bucket.get(route.object ?? '');
        return object === null ? this.#absent(route) : json(resource(object, this.#name));
      }
      case 'media':
        return this.#media(route, headers);
      case 'delete': {
        const refused = this.#bucket.delete(route.object ?? '', route.query.get('ifGenerationMatch'));
        return refused === null ? { status: 204, headers: {}, body: none } : refusal(refused.status, refused.message);
      }
    }
  }

  #list(query: URLSearchParams): GcsAnswer {
    const maxResults = Math.min(1_000, Number(query.get('maxResults') ?? 1_000));
    const token = query.get('pageToken');
    const after = token === null ? null : Buffer.from(token, 'base64url').toString();
    const page = this.#bucket.list(query.get('prefix') ?? '', query.get('delimiter'), after, maxResults);
    return json({
      kind: 'storage#objects',
      ...(page.items.length > 0 ? { items: page.items.map((one) => resource(one, this.#name)) } : {}),
      ...(page.prefixes.length > 0 ? { prefixes: page.prefixes } : {}),
      ...(page.nextPageToken === null ? {} : { nextPageToken: Buffer.from(page.nextPageToken).toString('base64url') }),
    });
  }

  #insert({ query }: GcsRoute, headers: IncomingHttpHeaders, body: Buffer): GcsAnswer {
    const isMultipart = query.get('uploadType') === 'multipart';
    const parts = isMultipart ? partsOf(String(headers['content-type']), body) : { said: {}, content: body };
    if (parts === null) return refusal(400, 'the multipart body cannot be read');
    const upload = this.#bucket.begin(uploadOf(parts.said, query, String(headers['content-type'])));
    if ('status' in upload) return refusal(upload.status, upload.message);
    this.#bucket.append(upload, parts.content);
    return this.#made(this.#bucket.finish(upload, hashOf(headers)));
  }

  #begin(route: GcsRoute, headers: IncomingHttpHeaders, body: Buffer): GcsAnswer {
    const said = body.length === 0 ? {} : (JSON.parse(body.toString()) as Said);
    const begun = this.#bucket.begin(uploadOf(said, route.query, String(headers['x-upload-content-type'] ?? '')));
    if ('status' in begun) return refusal(begun.status, begun.message);
    const path = `/upload/storage/v1/b/${this.#name}/o?uploadType=resumable&upload_id=${begun.id}`;
    return { status: 200, headers: { location: `http://${headers.host}${path}` }, body: none };
  }

  #chunk(route: GcsRoute, headers: IncomingHttpHeaders, body: Buffer): GcsAnswer {
    const finished = this.#finished.get(route.upload ?? '');
    if (finished !== undefined) return json(resource(finished, this.#name));
    const upload = this.#bucket.upload(route.upload ?? '');
    if (upload === null) return refusal(404, 'there is no such upload');
    const [, from, to, total] = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
    const committed = this.#bucket.committed(upload);
    if (from !== undefined && Number(from) > committed) return this.#standing(upload, 503);
    const isEnd = total !== undefined && total !== '*';
    const end = Number(from ?? 0) + body.length;
    const isWhole = to === undefined || to === '*' || Number(to) + 1 === end;
    const fresh = from === undefined ? none : body.subarray(committed - Number(from));
    // Only whole units are kept, but for the last of all.
    const isLast = isEnd && isWhole && (from === undefined ? committed : end) === Number(total);
    const kept = isLast || total === undefined ? fresh : fresh.subarray(0, fresh.length - (fresh.length % chunkUnit));
    this.#bucket.append(upload, kept);
    const isStreamed = headers['content-range'] === undefined || to === '*';
    if (!isLast && !(isStreamed && from !== undefined && !isEnd) && headers['content-range'] !== undefined) {
      return this.#standing(upload, 308);
    }
    const made = this.#bucket.finish(upload, hashOf(headers));
    if ('id' in made) this.#finished.set(upload.id, made);
    return this.#made(made);
  }

  #standing(upload: GcsUpload, status: number): GcsAnswer {
    const committed = this.#bucket.committed(upload);
    return { status, headers: committed === 0 ? {} : { range: `bytes=0-${committed - 1}` }, body: none };
  }

  #media(route: GcsRoute, headers: IncomingHttpHeaders): GcsAnswer {
    const object = this.#bucket.get(route.object ?? '');
    if (object === null) return text(404, `No such object: ${this.#name}/${route.object}`);
    const common = {
      'content-type': object.contentType,
      'x-goog-generation': object.generation,
      'x-goog-hash': `crc32c=${object.crc32c},md5=${object.md5Hash}`,
      'x-goog-stored-content-length': String(object.size),
    };
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
    if (from === undefined) return { status: 200, headers: common, body: this.#bucket.content(object, 0, object.size) };
    const end = Math.min(object.size, to === '' ? object.size : Number(to) + 1);
    if (Number(from) >= object.size) return text(416, 'The requested range cannot be satisfied.');
    const range = `bytes ${from}-${end - 1}/${object.size}`;
    const body = this.#bucket.content(object, Number(from), end);
    return { status: 206, headers: { ...common, 'content-range': range }, body };
  }

  #made(made: GcsObject | Refused): GcsAnswer {
    return 'id' in made ? json(resource(made, this.#name)) : refusal(made.status, made.message);
  }

  #absent(route: GcsRoute): GcsAnswer {
    return refusal(404, `No such object: ${this.#name}/${route.object}`, 'notFound');
  }
}

export function refusal(status: number, message: string, reason = 'planted'): GcsAnswer {
  const error = { code: status, message, errors: [{ message, domain: 'global', reason }] };
  return { ...json({ error }), status };
}

function json(value: unknown): GcsAnswer {
  return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(value)) };
}

function text(status: number, message: string): GcsAnswer {
  return { status, headers: { 'content-type': 'text/html; charset=UTF-8' }, body: Buffer.from(message) };
}

function resource(object: GcsObject, bucket: string): Record<string, unknown> {
  const { kind: _, id, size, ...rest } = object;
  return { kind: 'storage#object', id: `${bucket}/${object.name}/${id}`, bucket, size: String(size), ...rest };
}

function uploadOf(said: Said, query: URLSearchParams, contentType: string): Omit<GcsUpload, 'kind' | 'id'> {
  return {
    name: said.name ?? query.get('name') ?? '',
    contentType: said.contentType ?? (contentType === '' ? 'application/octet-stream' : contentType),
    metadata: said.metadata ?? {},
    crc32c: said.crc32c ?? null,
    ifGenerationMatch: query.get('ifGenerationMatch'),
  };
}

function hashOf(headers: IncomingHttpHeaders): string | null {
  return /crc32c=([A-Za-z0-9+/]+=*)/.exec(String(headers['x-goog-hash'] ?? ''))?.[1] ?? null;
}

function partsOf(contentType: string, body: Buffer): { said: Said; content: Buffer } | null {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (boundary === undefined) return null;
  const headEnd = body.indexOf('\r\n\r\n');
  const second = body.indexOf(`\r\n--${boundary}`, headEnd);
  const contentAt = body.indexOf('\r\n\r\n', second) + 4;
  const end = body.lastIndexOf(`\r\n--${boundary}--`);
  if (headEnd === -1 || second === -1 || contentAt < 4 || end < contentAt) return null;
  return {
    said: JSON.parse(body.subarray(headEnd + 4, second).toString()) as Said,
    content: body.subarray(contentAt, end),
  };
}
