// A receiver of webhooks as somebody outside would write one: checks each signature with the library of Standard
// Webhooks, remembers what came and in which order, and misbehaves as a test says. Then: what was told, and what not.

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Webhook } from 'standardwebhooks';

export type Received = {
  /** The same in all attempts. */
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Of those that are known, the secrets that it is signed with. */
  readonly signedWith: readonly string[];
  /** 1 for the first of its id. */
  readonly attempt: number;
  readonly atMs: number;
  /** It was answered with success. */
  readonly isAccepted: boolean;
};

/** hang: no answer, until the other side has had enough; close: the connection ends without one. */
export type Reply =
  | number
  | 'hang'
  | 'close'
  | { readonly status: number; readonly headers: Readonly<Record<string, string>> };

export type Behaviour = (delivery: Omit<Received, 'isAccepted'>) => Reply;

export const accepting: Behaviour = () => 204;

/** Of every second delivery the first attempt fails, in each of these ways in turn. */
export function failingHalfOfThem(faults: readonly Reply[] = [500, 'close']): Behaviour {
  let deliveries = 0;
  return ({ attempt }) => {
    if (attempt > 1) return 204;
    deliveries++;
    return deliveries % 2 === 0 ? 204 : (faults[((deliveries - 1) / 2) % faults.length] ?? 500);
  };
}

export class WebhookReceiver {
  readonly received: Received[] = [];
  connections = 0;
  behaviour: Behaviour;
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();
  readonly #secrets: string[] = [];
  readonly #attempts = new Map<string, number>();

  private constructor(behaviour: Behaviour) {
    this.behaviour = behaviour;
  }

  static async start(behaviour: Behaviour = accepting, host = '127.0.0.1'): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(behaviour);
    const server = receiver.#server;
    server.on('connection', (socket) => {
      receiver.connections++;
      receiver.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => receiver.#sockets.delete(socket));
    });
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('error', () => {});
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => receiver.#take(request.headers, Buffer.concat(chunks).toString('utf8'), response));
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** Each repeat once, as it came first. */
  get accepted(): readonly Received[] {
    const seen = new Set<string>();
    return this.received.filter(({ id, isAccepted }) => isAccepted && !seen.has(id) && seen.add(id));
  }

  /** What came without a signature by a secret that is known. */
  get unsigned(): readonly Received[] {
    return this.received.filter(({ signedWith }) => signedWith.length === 0);
  }

  /** Signatures by it are good from now on. */
  trust(secret: string): void {
    this.#secrets.push(secret);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(headers: IncomingHttpHeaders, body: string, response: ServerResponse): void {
    const id = String(headers['webhook-id']);
    const attempt = (this.#attempts.get(id) ?? 0) + 1;
    this.#attempts.set(id, attempt);
    const signedWith = this.#secrets.filter((secret) => isSignedBy(secret, headers, body));
    const { data, type } = parsed(body);
    const delivery = { id, type, data, headers, body, signedWith, attempt, atMs: performance.now() };
    const reply = signedWith.length === 0 ? 401 : this.behaviour(delivery);
    const status = typeof reply === 'object' ? reply.status : reply;
    const isAccepted = typeof status === 'number' && status >= 200 && status < 300;
    this.received.push({ ...delivery, isAccepted });
    if (reply === 'hang') return;
    if (reply === 'close') response.socket?.destroy();
    else if (typeof reply === 'number') response.writeHead(reply).end();
    else response.writeHead(reply.status, { ...reply.headers }).end();
  }
}

export function isSignedBy(secret: string, headers: IncomingHttpHeaders, body: string): boolean {
  const own = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
  try {
    new Webhook(secret).verify(body, own);
    return true;
  } catch {
    return false;
  }
}

function parsed(body: string): Pick<Received, 'type' | 'data'> {
  try {
    const { data, type } = JSON.parse(body) as Pick<Received, 'type' | 'data'>;
    return { data: data ?? {}, type: String(type) };
  } catch {
    return { data: {}, type: 'not JSON' };
  }
}

/** The turn that it tells of, or else the job, or the session: what is told in order. */
export function subjectOf({ data, type }: Pick<Received, 'type' | 'data'>): string {
  return String(type.startsWith('approval.') ? data['turn_id'] : data['id']);
}

/** By subject, what is to be told of it, in order. */
export type ToBeTold = ReadonlyMap<string, readonly string[]>;

/**
 * Each of them was told at least once, those of a subject in that order, and nothing else of it; a repeat counts
 * where it came first. Deliveries of several receivers are to be checked one receiver at a time.
 */
export function toldInOrder(toBeTold: ToBeTold, accepted: readonly Pick<Received, 'type' | 'data'>[]): string[] {
  const told = new Map<string, string[]>();
  for (const delivery of accepted) {
    const subject = subjectOf(delivery);
    told.set(subject, [...(told.get(subject) ?? []), delivery.type]);
  }
  return [...toBeTold].flatMap(([subject, types]) => {
    const own = told.get(subject) ?? [];
    const missing = types.filter((type) => !own.includes(type)).map((type) => `${subject}: ${type} was not told`);
    if (missing.length > 0) return missing;
    return own.join(' ') === types.join(' ') ? [] : [`${subject}: told was ${own.join(', ')} for ${types.join(', ')}`];
  });
}

/**
 * Nothing of a subject is sent before what comes earlier in it was accepted; but what had not arrived when a session
 * was erased went with it, so that its erasure waits for nothing.
 */
export function sentInTurn(received: readonly Received[]): string[] {
  const open = new Map<string, string>();
  const done = new Set<string>();
  return received.flatMap(({ data, id, isAccepted, type }) => {
    const subject = subjectOf({ data, type });
    if (type === 'session.deleted') open.delete(subject);
    const waiting = open.get(subject);
    // Accepted again: that it had arrived was not on record yet.
    if (isAccepted) done.add(id);
    if (!done.has(id)) open.set(subject, waiting ?? id);
    else if (waiting === id) open.delete(subject);
    return waiting === undefined || waiting === id
      ? []
      : [`${subject}: ${type} was sent before what comes earlier had arrived`];
  });
}
