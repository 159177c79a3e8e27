// The connections to Firestore, and single requests over them: no repeats, each within the time it is given. We use
// the generated client below the usual one: that one repeats by itself, a commit for up to ten minutes, and cannot be
// told to stop, so that no deadline of ours would hold and a write could arrive after its failure was reported.

import firestore from '@google-cloud/firestore';
import { ServiceError } from '../../core/errors.ts';
import type { StoredDocument, Timestamp, Write } from './document.ts';
import { type Query, type StructuredQuery, structuredQuery } from './query.ts';

export type OperationKind = 'reads' | 'writes' | 'deletes';

export type LinkOptions = {
  /** null: that of the credentials. */
  readonly project: string | null;
  readonly database: string;
  /** host:port; null: the service itself. */
  readonly emulatorHost: string | null;
  /** What is paid for, as it happens. `collection` as in a path. */
  readonly onOperations: (kind: OperationKind, count: number, collection: string) => void;
  readonly onQuery: (query: Query) => void;
};

// It is marked as deprecated in favour of the package that it comes from, which the package above brings along.
// oxlint-disable-next-line typescript/no-deprecated
const { FirestoreClient } = firestore.v1;
type Client = InstanceType<typeof FirestoreClient>;
type ClientOptions = NonNullable<ConstructorParameters<typeof FirestoreClient>[0]>;
type CallOptions = NonNullable<Parameters<Client['runQuery']>[1]>;
type Connection = { readonly client: Client; readonly ready: Promise<unknown>; inFlight: number };

/** A connection carries 100 requests at a time. */
const requestsPerConnection = 90;
const mostConnections = 8;
/** Beyond that nobody waits: who asks is told to come again. */
const mostRequests = requestsPerConnection * mostConnections;

const channelOptions = {
  // The client's own first wait is a second, much longer than a restart of what is in between.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // A peer that went without a word is noticed while requests wait for it.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Else clients of one process share a connection, whatever we make of them here.
  'grpc.use_local_subchannel_pool': 1,
};

export class FirestoreLink {
  /** Its full name, of the project too. */
  readonly databaseName: string;
  readonly #options: LinkOptions;
  readonly #clientOptions: ClientOptions;
  readonly #connections: Connection[] = [];
  #isClosed = false;

  private constructor(options: LinkOptions, databaseName: string, clientOptions: ClientOptions, first: Client) {
    this.#options = options;
    this.databaseName = databaseName;
    this.#clientOptions = clientOptions;
    this.#connections.push({ client: first, ready: Promise.resolve(), inFlight: 0 });
  }

  /** Looks for credentials and for the project. Rejects with the client's errors. */
  static async open(options: LinkOptions): Promise<FirestoreLink> {
    const clientOptions = clientOptionsOf(options);
    const client = new FirestoreClient(clientOptions);
    try {
      // Before any request: those answer a failure of this with a rejection that nobody can catch.
      await client.initialize();
      const project = options.project ?? (options.emulatorHost === null ? await client.getProjectId() : 'emulator');
      const databaseName = `projects/${project}/databases/${options.database}`;
      return new FirestoreLink(options, databaseName, clientOptions, client);
    } catch (error) {
      await client.close().catch(() => {});
      throw error;
    }
  }

  /** The full name of the document at a path. */
  nameOf(path: string): string {
    return `${this.databaseName}/documents/${path}`;
  }

  /** All or nothing. When each of those written was changed; null for those deleted. */
  commit(writes: readonly Write[], timeoutMs: number): Promise<readonly (Timestamp | null)[]> {
    return this.#request(timeoutMs, async (client, callOptions) => {
      const request = { database: this.databaseName, writes: writes.map(writeOf) };
      const [response] = await client.commit(request as Parameters<Client['commit']>[0], callOptions);
      for (const write of writes) {
        if ('set' in write) this.#options.onOperations('writes', 1, collectionOf(write.set));
        else this.#options.onOperations('deletes', 1, collectionOf(write.delete));
      }
      const results = (response.writeResults ?? []) as readonly { readonly updateTime: Timestamp | null }[];
      return writes.map((_, at) => results[at]?.updateTime ?? null);
    });
  }

  /** In the order of the names; null for what is not there. `select` as in a query. */
  get(
    names: readonly string[],
    select: readonly string[] | null,
    timeoutMs: number,
  ): Promise<(StoredDocument | null)[]> {
    return this.#request(timeoutMs, async (client, callOptions, endStream) => {
      const mask = select === null ? {} : { mask: { fieldPaths: [...select] } };
      const request = { database: this.databaseName, documents: [...names], ...mask };
      const stream = client.batchGetDocuments(request, callOptions);
      const responses = await endStream<{ readonly found?: StoredDocument }>(stream);
      const found = new Map(responses.flatMap(({ found: document }) => (document ? [[document.name, document]] : [])));
      for (const name of names) this.#options.onOperations('reads', 1, collectionOf(name));
      return names.map((name) => found.get(name) ?? null);
    });
  }

  query(query: Query, timeoutMs: number): Promise<StoredDocument[]> {
    this.#options.onQuery(query);
    return this.#request(timeoutMs, async (client, callOptions, endStream) => {
      const request = { parent: this.#parentOf(query), structuredQuery: structuredQuery(query) };
      const stream = client.runQuery(request as Parameters<Client['runQuery']>[0], callOptions);
      const responses = await endStream<{ readonly document: StoredDocument | null }>(stream);
      const found = responses.flatMap(({ document }) => (document === null ? [] : [document]));
      this.#options.onOperations('reads', Math.max(1, found.length), query.collection);
      return found;
    });
  }

  /** How many the query finds, up to its limit. */
  count(query: Query, timeoutMs: number): Promise<number> {
    this.#options.onQuery(query);
    return this.#request(timeoutMs, async (client, callOptions, endStream) => {
      const aggregation: StructuredQuery = {
        structuredQuery: structuredQuery({ ...query, select: null }),
        aggregations: [{ alias: 'count', count: {} }],
      };
      const request = { parent: this.#parentOf(query), structuredAggregationQuery: aggregation };
      const stream = client.runAggregationQuery(request as Parameters<Client['runAggregationQuery']>[0], callOptions);
      const responses = await endStream<Counted>(stream);
      this.#options.onOperations('reads', 1, query.collection);
      return Number(
        responses.find(({ result }) => result !== null)?.result?.aggregateFields['count']?.integerValue ?? 0,
      );
    });
  }

  /** What is under way fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#connections.splice(0).map(({ client }) => client.close()));
  }

  #parentOf({ parent }: Query): string {
    return parent ?? `${this.databaseName}/documents`;
  }

  async #request<T>(
    timeoutMs: number,
    run: (client: Client, options: CallOptions, end: EndStream) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw new ServiceError('store_unavailable', { store: 'firestore', reason: 'closed' });
    const connection = this.#connection();
    connection.inFlight++;
    try {
      await connection.ready;
      return await run(connection.client, callOptionsOf(this.databaseName, timeoutMs), endStream);
    } finally {
      connection.inFlight--;
    }
  }

  /** The least busy one; one more while all are full. */
  #connection(): Connection {
    const all = this.#connections.reduce((sum, { inFlight }) => sum + inFlight, 0);
    if (all >= mostRequests) throw new ServiceError('store_unavailable', { store: 'firestore', reason: 'overloaded' });
    const least = this.#connections.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
    if (least.inFlight < requestsPerConnection || this.#connections.length >= mostConnections) return least;
    const client = new FirestoreClient(this.#clientOptions);
    const ready = client.initialize();
    const added: Connection = { client, ready, inFlight: 0 };
    this.#connections.push(added);
    // Whoever waits for it learns why; nobody else gets it.
    ready.catch(() => this.#connections.splice(this.#connections.indexOf(added), 1));
    return added;
  }
}

type Counted = {
  readonly result: { readonly aggregateFields: Readonly<Record<string, { readonly integerValue?: string }>> } | null;
};

type Stream = ReturnType<Client['runQuery']>;
type EndStream = <R>(stream: Stream) => Promise<readonly R[]>;

/** All that a stream brings. One that breaks brings nothing. */
const endStream: EndStream = <R>(stream: Stream) =>
  new Promise<readonly R[]>((resolve, reject) => {
    const responses: R[] = [];
    stream.on('data', (response: R) => responses.push(response));
    // It stays: a second error would have no listener and end the process.
    stream.on('error', reject);
    stream.on('end', () => resolve(responses));
    stream.on('close', () => reject(Object.assign(new Error('the stream was closed'), { code: 1 })));
  });

function clientOptionsOf({ emulatorHost, project }: LinkOptions): ClientOptions {
  const shared: ClientOptions = { ...channelOptions, ...(project === null ? {} : { projectId: project }) };
  if (emulatorHost === null) return shared;
  const { hostname, port } = new URL(`http://${emulatorHost}`);
  // No credentials: looking for them means asking a metadata server that is not there, for seconds.
  const auth = { getUniverseDomain: async () => 'googleapis.com' } as unknown as NonNullable<ClientOptions['auth']>;
  // The client has its gRPC library to itself; credentials from another copy of it would not be taken.
  const { grpc } = new FirestoreClient({ auth })['_gaxGrpc'] as { grpc: GrpcLibrary };
  const sslCreds = grpc.credentials.createInsecure();
  return { ...shared, auth, sslCreds, servicePath: hostname, port: Number(port === '' ? 80 : port) };
}

type GrpcLibrary = { readonly credentials: { createInsecure(): NonNullable<ClientOptions['sslCreds']> } };

function callOptionsOf(databaseName: string, timeoutMs: number): CallOptions {
  return {
    timeout: timeoutMs,
    // Neither of its two ways to repeat: not the codes of its configuration, nor the streams' own.
    retry: null as unknown as NonNullable<CallOptions['retry']>,
    retryRequestOptions: { retries: 0, noResponseRetries: 0, shouldRetryFn: () => false },
    otherArgs: { headers: { 'google-cloud-resource-prefix': databaseName } },
  };
}

function writeOf(write: Write): Readonly<Record<string, unknown>> {
  const condition = write.condition === null ? {} : { currentDocument: write.condition };
  if ('delete' in write) return { delete: write.delete, ...condition };
  return { update: { name: write.set, fields: write.fields }, ...condition };
}

function collectionOf(name: string): string {
  return name.split('/').at(-2) ?? '';
}
