// A receiver of webhooks on loopback that behaves as a test says, and remembers what it was sent.

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type ReceivedDelivery = {
  readonly id: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** What it tells: `data` of the body. */
  readonly data: Readonly<Record<string, unknown>>;
};

/** A status, or what is done instead of answering. `null`: nothing, for ever. */
export type ReceiverAnswer = number | null | 'cut' | ((response: ServerResponse) => void);

export class FakeReceiver {
  readonly received: ReceivedDelivery[] = [];
  /** Those that were answered with success, in their order. */
  readonly accepted: ReceivedDelivery[] = [];
  answer: (delivery: ReceivedDelivery) => ReceiverAnswer = () => 204;
  connections = 0;
  /** At once; and the most that there were. */
  openRequests = 0;
  mostOpenRequests = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer();

  static async open(answer?: (delivery: ReceivedDelivery) => ReceiverAnswer): Promise<FakeReceiver> {
    const receiver = new FakeReceiver();
    if (answer !== undefined) receiver.answer = answer;
    await receiver.#listen();
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #listen(): Promise<void> {
    this.#server.on('connection', (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('request', (request, response) => {
      this.openRequests++;
      this.mostOpenRequests = Math.max(this.mostOpenRequests, this.openRequests);
      response.on('close', () => this.openRequests--);
      const chunks: Buffer[] = [];
      request.on('error', () => {});
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8');
        const { headers, url: path = '' } = request;
        const { data } = JSON.parse(body) as { data: Record<string, unknown> };
        this.#respond({ id: String(headers['webhook-id']), path, headers, body, data }, response);
      });
    });
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  #respond(delivery: ReceivedDelivery, response: ServerResponse): void {
    this.received.push(delivery);
    const answer = this.answer(delivery);
    if (answer === null) return;
    if (answer === 'cut') response.socket?.destroy();
    else if (typeof answer === 'function') answer(response);
    else {
      if (answer >= 200 && answer < 300) this.accepted.push(delivery);
      response.writeHead(answer).end();
    }
  }
}
