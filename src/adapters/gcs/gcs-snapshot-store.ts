// Snapshots in a bucket of Cloud Storage: one object each, written once, all of a session's below one prefix.

import type { ByteRange, SnapshotStore, StoredObject } from '../../contracts/snapshots.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { ServiceError } from '../../core/errors.ts';
import { crc32c, crc32cText } from './crc32c.ts';
import { claimPlace, type FleetMark, type MarkedPlace, readMark } from './gcs-fleet.ts';
import { type GcsCall, GcsHttp, type GcsHttpOptions } from './gcs-http.ts';
import {
  corrupted,
  type GcsReply,
  isObjectMissing,
  neededPermissions,
  noBucket,
  refused,
  unavailable,
} from './gcs-problem.ts';
import { upload } from './gcs-upload.ts';
import { meantBy, ObjectNames } from './object-names.ts';

export type GcsSnapshotStoreOptions = Omit<GcsHttpOptions, 'apiEndpoint' | 'onOperations'> & {
  /** What the names of all our objects begin with. */
  readonly prefix: string;
  /** This fleet's; a bucket belongs to one under each prefix. null: nothing is claimed or compared. */
  readonly fleet?: FleetMark | null;
  readonly apiEndpoint?: string | null;
  readonly onOperations?: GcsHttpOptions['onOperations'];
  /** The most that goes in one request, and is held of one put: a multiple of 256 KiB. */
  readonly chunkBytes?: number;
};

const defaultChunkBytes = 8 * 1024 * 1024;
const maxRemovedAtOnce = 16;
const listedAtOnce = 1_000;

type Listing = {
  readonly items?: readonly { readonly name: string; readonly size: string }[];
  readonly prefixes?: readonly string[];
  readonly nextPageToken?: string;
};

export class GcsSnapshotStore implements SnapshotStore {
  /** Of the bucket and the place in it. */
  readonly name: string;
  readonly #http: GcsHttp;
  readonly #bucket: string;
  readonly #names: ObjectNames;
  readonly #chunkBytes: number;
  readonly #place: MarkedPlace;

  /** Rejects with `store_unavailable` and a message for a person when the bucket cannot be used, or is another fleet's. */
  static async open(options: GcsSnapshotStoreOptions): Promise<GcsSnapshotStore> {
    const store = new GcsSnapshotStore(options);
    try {
      await store.#assertUsable();
      const { fleet = null } = options;
      if (fleet !== null) await claimPlace(store.#place, fleet);
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(options: GcsSnapshotStoreOptions) {
    const { apiEndpoint = null, onOperations = () => undefined, chunkBytes = defaultChunkBytes } = options;
    this.#http = new GcsHttp({ ...options, apiEndpoint, onOperations });
    this.#bucket = options.bucket;
    this.#names = new ObjectNames(options.prefix);
    this.#chunkBytes = chunkBytes;
    this.#place = { http: this.#http, bucket: options.bucket, prefix: options.prefix };
    this.name = `gs://${options.bucket}/${options.prefix}`;
  }

  /** The fleet that uses them; null where none does yet. */
  fleetFound(): Promise<FleetMark | null> {
    return readMark(this.#place);
  }

  async put(key: SessionKey, name: string, content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    const object = this.#names.of(key, name);
    await upload({ http: this.#http, bucket: this.#bucket, object, chunkBytes: this.#chunkBytes }, content);
  }

  async read(key: SessionKey, name: string, range?: ByteRange): Promise<Uint8Array | null> {
    const url = this.#objectUrl(this.#names.of(key, name));
    const common = {
      permission: 'storage.objects.get',
      kind: 'class_b',
      method: 'GET',
      url,
      accept: [404, 416],
    } as const;
    // There is no range of nothing: whether the object is there is all that can be asked.
    if (range?.length === 0) {
      const reply = await this.#http.call({ ...common, operation: 'look', query: { fields: 'size' } });
      return (await this.#isAbsent(reply)) ? null : new Uint8Array(0);
    }
    const reply = await this.#http.call({
      ...common,
      operation: 'read',
      query: { alt: 'media' },
      ...(range === undefined
        ? {}
        : { headers: { range: `bytes=${range.offset}-${range.offset + range.length - 1}` } }),
      doubt: (answer) => doubtOf(answer),
    });
    if (await this.#isAbsent(reply)) return null;
    if (reply.status === 416) return new Uint8Array(0);
    if (range === undefined || reply.status === 206) return reply.body;
    // Whoever is between us and the bucket may give all of it.
    return reply.body.subarray(range.offset, range.offset + range.length);
  }

  async list(key: SessionKey): Promise<readonly StoredObject[]> {
    const below = this.#names.ofSession(key);
    const objects: StoredObject[] = [];
    for await (const { items = [] } of this.#pages({ prefix: below, fields: 'items(name,size),nextPageToken' })) {
      for (const { name, size } of items) objects.push({ name: name.slice(below.length), bytes: Number(size) });
    }
    return objects.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  async remove(key: SessionKey, names: readonly string[]): Promise<void> {
    await this.#removeAll(names.map((name) => this.#names.of(key, name)));
  }

  /** What unfinished writes left is no object and cannot be found: it ends by itself after a week. */
  async erase(key: SessionKey): Promise<void> {
    const prefix = this.#names.ofSession(key);
    for await (const { items = [] } of this.#pages({ prefix, fields: 'items(name),nextPageToken' })) {
      await this.#removeAll(items.map(({ name }) => name));
    }
  }

  async *sessions(): AsyncGenerator<SessionKey> {
    for await (const tenantPrefix of this.#prefixesBelow(this.#names.root)) {
      const tenant = meantBy(tenantPrefix, this.#names.root);
      if (tenant === null) continue;
      for await (const sessionPrefix of this.#prefixesBelow(tenantPrefix)) {
        const sessionId = meantBy(sessionPrefix, tenantPrefix);
        if (sessionId !== null) yield { tenant, sessionId };
      }
    }
  }

  /** Calls that run are rejected with `store_unavailable`. */
  async close(): Promise<void> {
    await this.#http.close();
  }

  /** By the one call that needs no permission and tells which we have. */
  async #assertUsable(): Promise<void> {
    const reply = await this.#http.call({
      operation: 'test_permissions',
      permission: 'storage.objects.get',
      kind: 'class_b',
      method: 'GET',
      url: `${this.#bucketUrl()}/iam/testPermissions?${neededPermissions.map((one) => `permissions=${one}`).join('&')}`,
    });
    const { permissions = [] } = parsed<{ permissions?: readonly string[] }>(reply);
    const missing = neededPermissions.filter((one) => !permissions.includes(one));
    if (missing.length > 0) throw refused(this.#bucket, missing);
  }

  async *#prefixesBelow(prefix: string): AsyncGenerator<string> {
    const query = { prefix, delimiter: '/', fields: 'prefixes,nextPageToken' };
    for await (const { prefixes = [] } of this.#pages(query)) yield* prefixes;
  }

  async *#pages(query: Readonly<Record<string, string>>): AsyncGenerator<Listing> {
    let pageToken: string | null = null;
    do {
      const reply: GcsReply = await this.#http.call({
        operation: 'list',
        permission: 'storage.objects.list',
        kind: 'class_a',
        method: 'GET',
        url: `${this.#bucketUrl()}/o`,
        query: { ...query, maxResults: String(listedAtOnce), ...(pageToken === null ? {} : { pageToken }) },
      });
      const page = parsed<Listing>(reply);
      yield page;
      pageToken = page.nextPageToken ?? null;
    } while (pageToken !== null);
  }

  async #removeAll(objects: readonly string[]): Promise<void> {
    const left = objects.values();
    const removeNext = async (): Promise<void> => {
      for (const object of left) await this.#removeOne(object);
    };
    const results = await Promise.allSettled(Array.from({ length: maxRemovedAtOnce }, removeNext));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #removeOne(object: string): Promise<void> {
    const call: GcsCall = {
      operation: 'remove',
      permission: 'storage.objects.delete',
      kind: 'free',
      method: 'DELETE',
      url: this.#objectUrl(object),
      accept: [404],
    };
    await this.#isAbsent(await this.#http.call(call));
  }

  /** A bucket that is gone must not pass for an object that is: the session would count as damaged. */
  async #isAbsent(reply: GcsReply): Promise<boolean> {
    if (reply.status !== 404) return false;
    if (isObjectMissing(reply)) return true;
    try {
      await this.#assertUsable();
    } catch (error) {
      if (error instanceof ServiceError && error.details['reason'] === 'no_bucket') throw noBucket(this.#bucket, error);
      throw error;
    }
    return true;
  }

  #bucketUrl(): string {
    return `/storage/v1/b/${encodeURIComponent(this.#bucket)}`;
  }

  #objectUrl(object: string): string {
    return `${this.#bucketUrl()}/o/${encodeURIComponent(object)}`;
  }
}

/** Less than was announced, or, of a whole object, other octets than it has. */
function doubtOf({ status, headers, body }: GcsReply): ServiceError | null {
  const announced = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(String(headers['content-range'] ?? ''));
  const [from, to, total] = (announced ?? []).slice(1).map(Number);
  if (status === 206 && body.length !== (to ?? 0) - (from ?? 0) + 1) return corrupted();
  if (status === 206 && body.length !== total) return null;
  const hashes = [headers['x-goog-hash'] ?? []].flat().join(',');
  const expected = /crc32c=([A-Za-z0-9+/]+=*)/.exec(hashes)?.[1];
  return expected === undefined || expected === crc32cText(crc32c(body)) ? null : corrupted();
}

function parsed<T>(reply: GcsReply): T {
  try {
    return JSON.parse(Buffer.from(reply.body).toString()) as T;
  } catch (error) {
    throw unavailable('unexpected_answer', 'an answer of Cloud Storage cannot be read', {}, error);
  }
}
