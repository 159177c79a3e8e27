// A local server of Cloud Storage's JSON API, as far as its client library and we use it: one bucket, uploads
// in one request and resumable, ranges, listings, preconditions, checksums; faults on demand.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { DirectoryBlobs, MemoryBlobs } from './gcs-blobs.ts';
import { GcsBucket } from './gcs-bucket.ts';
import { type GcsFault, GcsFaults, type GcsOperation } from './gcs-faults.ts';
import { type GcsAnswer, GcsRequests, type GcsRoute, refusal } from './gcs-requests.ts';

export type GcsServerOptions = {
  readonly bucket: string;
  readonly port?: number;
  /** null: in memory. */
  readonly dir: string | null;
  /** Before each answer. */
  readonly delayMs?: number;
};

const committedUnit = 256 * 1024;

export class GcsServer implements AsyncDisposable {
  readonly faults = new GcsFaults();
  readonly bucket: GcsBucket;
  /** Requests by what they asked for. */
  readonly counts = new Map<GcsOperation, number>();
  /** Headers `authorization` that came: nobody may send one here. */
  authorizations = 0;
  /** Of the permissions that are asked for. */
  granted: (permission: string) => boolean = () => true;
  delayMs: number;
  readonly #options: GcsServerOptions;
  readonly #requests: GcsRequests;
  #http: Server | null = null;
  #port: number;

  constructor(options: GcsServerOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.delayMs = options.delayMs ?? 0;
    this.bucket = new GcsBucket(options.dir === null ? new MemoryBlobs() : new DirectoryBlobs(options.dir));
    this.#requests = new GcsRequests(options.bucket, this.bucket, (permission) => this.granted(permission));
  }

  static async start(options: GcsServerOptions): Promise<GcsServer> {
    const server = new GcsServer(options);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Again too, at the same address, with what was kept. */
  async start(): Promise<void> {
    const http = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#http = http;
    http.listen(this.#port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => http.once('listening', resolve).once('error', reject));
    this.#port = (http.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const http = this.#http;
    this.#http = null;
    if (http === null) return;
    const closed = new Promise((resolve) => http.close(resolve));
    http.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    if (url.pathname.startsWith('/_control/')) return await this.#control(url.pathname.slice(10), request, response);
    if (request.headers.authorization !== undefined) this.authorizations += 1;
    const route = this.#requests.route(request, url);
    if (route === null) return send(response, refusal(501, 'the local Cloud Storage does not know this call'));
    this.counts.set(route.operation, (this.counts.get(route.operation) ?? 0) + 1);
    const fault = this.faults.next(route.operation, route.object);
    if (this.delayMs > 0) await setTimeout(this.delayMs);
    if (fault !== null && typeof fault.act === 'object' && 'slowMs' in fault.act) await setTimeout(fault.act.slowMs);
    else if (fault !== null && fault.act !== 'wrong_octets' && fault.when !== 'after') {
      return await this.#fail(fault, route, request, response);
    }
    const body = await collected(request);
    const answer = this.#requests.answer(route, request, body);
    if (fault === null || (typeof fault.act === 'object' && 'slowMs' in fault.act)) return send(response, answer);
    if (fault.act === 'wrong_octets') return send(response, falsified(answer, route.operation));
    if (fault.act === 'hang') return;
    if (fault.act === 'cut') {
      response.destroy();
      return;
    }
    send(response, refusal(fault.act.status, fault.act.message ?? 'a planted fault', fault.act.reason));
  }

  async #fail(fault: GcsFault, route: GcsRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (typeof fault.act === 'object' && 'status' in fault.act) {
      await collected(request);
      return send(response, refusal(fault.act.status, fault.act.message ?? 'a planted fault', fault.act.reason));
    }
    if (fault.act === 'hang') {
      request.resume();
      return;
    }
    if (route.operation === 'media') {
      const { status, headers, body } = this.#requests.answer(route, request, Buffer.alloc(0));
      response.writeHead(status, { ...headers, 'content-length': body.length });
      response.write(body.subarray(0, body.length / 2), () => response.destroy());
      return;
    }
    if (route.operation === 'chunk') {
      // Half of it has come when the connection breaks.
      const body = await collected(request);
      const upload = this.bucket.upload(route.upload ?? '');
      if (upload !== null)
        this.bucket.append(upload, body.subarray(0, Math.floor(body.length / 2 / committedUnit) * committedUnit));
    }
    response.destroy();
  }

  async #control(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await collected(request);
    if (name === 'faults' && request.method === 'POST') this.faults.add(JSON.parse(body.toString()) as GcsFault);
    if (name === 'faults' && request.method === 'DELETE') this.faults.clear();
    if (name === 'delay' && request.method === 'POST') this.delayMs = Number(JSON.parse(body.toString()));
    const facts = {
      bucket: this.#options.bucket,
      faults_left: this.faults.left,
      objects: this.bucket.names.length,
      unfinished: this.bucket.unfinished,
      requests: Object.fromEntries(this.counts),
    };
    send(response, {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify(facts)),
    });
  }
}

async function collected(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

function send(response: ServerResponse, { status, headers, body }: GcsAnswer): void {
  response.writeHead(status, { ...headers, 'content-length': body.length });
  response.end(body);
}

function falsified(answer: GcsAnswer, operation: GcsOperation): GcsAnswer {
  if (operation === 'media') {
    const body = Buffer.from(answer.body);
    if (body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    return { ...answer, body };
  }
  return { ...answer, body: Buffer.from(answer.body.toString().replace(/"crc32c":"[^"]*"/, '"crc32c":"AAAAAA=="')) };
}
