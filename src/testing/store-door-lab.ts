// A store door over stores of a test, and clients of it; between them, where it is wanted, a way that can be cut,
// held up and counted. Everything is closed by the test.

import net from 'node:net';
import { internalCredential, storeDoorScope } from '../adapters/worker-http/internal-credential.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import { StoreDoorClient, type StoreDoorClientOptions } from '../adapters/store-door/store-door-client.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { Records } from '../contracts/records.ts';
import type { SnapshotStore } from '../contracts/snapshots.ts';
import type { Clock } from '../core/clock.ts';
import type { Notice } from '../core/webhook.ts';
import type { HttpServer } from '../http/server.ts';
import { createStoreDoor, type StoreDoorOptions } from '../manager/store-door/store-door.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics, type Metrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';

export const doorSecret = 'a secret of tests that is long enough';
export const doorCredential = internalCredential(doorSecret, 'session-manager', storeDoorScope);

export type LabStores = { readonly records: Records; readonly snapshots: SnapshotStore };

export class StoreDoorLab {
  readonly stores: LabStores;
  readonly told: Notice[] = [];
  readonly clock: Clock = new SystemClock();
  readonly #closers: (() => Promise<unknown>)[] = [];

  constructor(stores: Partial<LabStores> = {}) {
    this.stores = {
      records: stores.records ?? new MemoryRecords(),
      snapshots: stores.snapshots ?? new MemorySnapshotStore(),
    };
  }

  async door(
    options: Partial<Pick<StoreDoorOptions, 'limits' | 'httpLimits'>> & { readonly port?: number } = {},
  ): Promise<{ readonly url: string; readonly server: HttpServer; readonly metrics: Metrics }> {
    const metrics = createMetrics();
    const outbox: Outbox = {
      put: async (notices) => {
        this.told.push(...notices);
      },
    };
    const server = createStoreDoor({
      stores: { ...this.stores, outbox, truth: 'the truth of tests', fleetVersion: '0.0.0' },
      credential: doorCredential,
      clock: this.clock,
      logger: createLogger({ level: 'silent', role: 'test' }),
      metrics,
      listen: { host: '127.0.0.1', port: options.port ?? 0 },
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(options.httpLimits === undefined ? {} : { httpLimits: options.httpLimits }),
    });
    const { url } = await server.listen();
    this.#closers.push(() => server.stop());
    return { url, server, metrics };
  }

  client(urls: readonly string[], options: Partial<StoreDoorClientOptions> = {}): StoreDoorClient {
    const client = new StoreDoorClient({
      urls,
      credential: doorCredential,
      clock: this.clock,
      timeoutMs: 5_000,
      ...options,
    });
    this.#closers.push(() => client.close());
    return client;
  }

  async way(target: string): Promise<FaultyWay> {
    const way = await FaultyWay.open(target);
    this.#closers.push(() => way.close());
    return way;
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close();
  }
}

/** What becomes of the next connections' first exchange, in this order; then all goes through. */
export type WayFault =
  /** The question arrives, and the answer is lost. */
  | 'cut_answer'
  /** Half of the answer comes. */
  | 'half_answer'
  /** Nothing of the question arrives. */
  | 'cut_question'
  /** Half of the question arrives. */
  | 'half_question'
  /** Nothing ever comes back, and the connection stays. */
  | 'silence';

/** TCP to a door, faulty as told. */
export class FaultyWay {
  readonly url: string;
  readonly faults: WayFault[] = [];
  connections = 0;
  /** Called once the whole answer to a question that is cut off has come. */
  onAnswerLost: () => Promise<void> | void = () => undefined;
  readonly #server: net.Server;
  readonly #sockets: Set<net.Socket>;

  private constructor(server: net.Server, port: number, sockets: Set<net.Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async open(target: string): Promise<FaultyWay> {
    const { hostname, port } = new URL(target);
    const sockets = new Set<net.Socket>();
    const server = net.createServer((near) => {
      const far = net.connect(Number(port), hostname);
      way.connections += 1;
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', (bytes) => {
        const fault = way.faults[0];
        if (fault === 'cut_question') {
          way.faults.shift();
          near.destroy();
        } else if (fault === 'half_question') {
          way.faults.shift();
          far.write(bytes.subarray(0, Math.floor(bytes.length / 2)));
          setTimeout(() => near.destroy(), 20);
        } else far.write(bytes);
      });
      far.on('data', (bytes) => {
        const fault = way.faults[0];
        if (fault === 'silence') return;
        if (fault === 'cut_answer' || fault === 'half_answer') {
          way.faults.shift();
          const cut = async (): Promise<void> => {
            await way.onAnswerLost();
            if (fault === 'half_answer') near.write(bytes.subarray(0, bytes.length - 3));
            setTimeout(() => near.destroy(), 5);
          };
          void cut();
        } else near.write(bytes);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const way = new FaultyWay(server, (server.address() as net.AddressInfo).port, sockets);
    return way;
  }

  /** Of those that are open. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
