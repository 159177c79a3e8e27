// Stands between Firestore's client and its emulator and does what networks and servers do: answers with any status
// before or after a request was passed on, delays, falls silent, cuts connections. Passes octets; reads no messages.

import assert from 'node:assert/strict';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type ServiceError as GrpcError,
} from '@grpc/grpc-js';

export const proxiedMethods = ['Commit', 'BatchGetDocuments', 'RunQuery', 'RunAggregationQuery'] as const;
export type ProxiedMethod = (typeof proxiedMethods)[number];

/** `after`: once the emulator has done what was asked. */
export type ProxyFault =
  | { readonly kind: 'status'; readonly code: number; readonly message?: string; readonly after: boolean }
  | { readonly kind: 'hang'; readonly after: boolean }
  | { readonly kind: 'cut'; readonly after: boolean }
  | { readonly kind: 'delay'; readonly ms: number };

/** Asked for each request, with its octets: names of documents can be found in them. null: it passes. */
export type FaultChoice = (method: ProxiedMethod, request: Buffer) => ProxyFault | null;

const service = '/google.firestore.v1.Firestore/';
const unlimited = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const same = (octets: Buffer): Buffer => octets;

export class FirestoreProxy {
  faultOf: FaultChoice = () => null;
  readonly #upstream: Client;
  #server: Server;
  #port = 0;
  #restoring: Promise<void> | null = null;

  private constructor(upstreamHost: string) {
    this.#upstream = new Client(upstreamHost, credentials.createInsecure(), unlimited);
    this.#server = this.#newServer();
  }

  static async start(upstreamHost: string): Promise<FirestoreProxy> {
    const proxy = new FirestoreProxy(upstreamHost);
    await proxy.restore();
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** All connections end, and no new one is taken until `restore`. */
  cut(): void {
    this.#server.forceShutdown();
    this.#server = this.#newServer();
  }

  async restore(): Promise<void> {
    const address = `127.0.0.1:${this.#port}`;
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  stop(): void {
    this.#server.forceShutdown();
    this.#upstream.close();
  }

  #newServer(): Server {
    const server = new Server(unlimited);
    const definition = (name: ProxiedMethod) => ({
      path: service + name,
      requestStream: false,
      responseStream: name !== 'Commit',
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    });
    server.addService(Object.fromEntries(proxiedMethods.map((name) => [name, definition(name)])), {
      Commit: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        void this.#passUnary(call, answer),
      BatchGetDocuments: (call: Streamed) => void this.#passStream('BatchGetDocuments', call),
      RunQuery: (call: Streamed) => void this.#passStream('RunQuery', call),
      RunAggregationQuery: (call: Streamed) => void this.#passStream('RunAggregationQuery', call),
    });
    return server;
  }

  async #passUnary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): Promise<void> {
    const fault = this.faultOf('Commit', call.request);
    if (await this.#isOver(fault, false, (error) => answer(error))) return;
    const upstream = this.#upstream.makeUnaryRequest(
      `${service}Commit`,
      same,
      same,
      call.request,
      call.metadata,
      { deadline: call.getDeadline() },
      (error, response) => {
        void this.#isOver(fault, true, (failure) => answer(failure)).then((isOver) => {
          if (!isOver) answer(error === null ? null : statusOf(error), response ?? null);
        });
      },
    );
    // A request that arrived goes on, though nobody waits for its answer: as at the service.
    upstream.on('error', () => {});
  }

  async #passStream(method: ProxiedMethod, call: Streamed): Promise<void> {
    const fault = this.faultOf(method, call.request);
    const fail = (error: Status): void => void call.emit('error', error);
    if (await this.#isOver(fault, false, fail)) return;
    const options = { deadline: call.getDeadline() };
    const upstream = this.#upstream.makeServerStreamRequest(
      service + method,
      same,
      same,
      call.request,
      call.metadata,
      options,
    );
    const responses: Buffer[] = [];
    upstream.on('data', (response: Buffer) => responses.push(response));
    upstream.on('error', (error: GrpcError) => fail(statusOf(error)));
    upstream.on('end', () => {
      void this.#isOver(fault, true, fail).then((isOver) => {
        if (isOver) return;
        for (const response of responses) call.write(response);
        call.end();
      });
    });
    call.on('cancelled', () => upstream.cancel());
  }

  async #cutAndRestore(): Promise<void> {
    this.cut();
    await this.restore();
    this.#restoring = null;
  }

  /** Whether the fault has settled the request, or never will. */
  async #isOver(fault: ProxyFault | null, isAfter: boolean, fail: (error: Status) => void): Promise<boolean> {
    if (fault === null) return false;
    if (fault.kind === 'delay') {
      if (!isAfter) await new Promise((resolve) => setTimeout(resolve, fault.ms));
      return false;
    }
    if (fault.after !== isAfter) return false;
    switch (fault.kind) {
      case 'status':
        fail({ code: fault.code, details: fault.message ?? 'planned by the test', metadata: new Metadata() });
        return true;
      case 'hang':
        return true;
      case 'cut':
        // Several at once are one.
        this.#restoring ??= this.#cutAndRestore();
        await this.#restoring;
        return true;
    }
  }
}

type Streamed = ServerWritableStream<Buffer, Buffer>;
type Status = { readonly code: number; readonly details: string; readonly metadata: Metadata };

function statusOf(error: GrpcError): Status {
  assert.ok(typeof error.code === 'number');
  return { code: error.code, details: error.details, metadata: new Metadata() };
}
