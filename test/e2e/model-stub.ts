// A model provider of the test's own: speaks the Responses API on loopback, takes one key, keeps what
// it was sent, and answers as the demo model does. The fleet knows it by --base-url alone.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DemoModel } from '../../src/model-proxy/demo-model/demo-model.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';

export type ModelCall = {
  readonly path: string;
  readonly authorization: string;
  readonly headers: string;
  readonly body: string;
};

export class ModelStub {
  readonly calls: ModelCall[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  }

  static async start(key: string): Promise<ModelStub> {
    const model = new DemoModel(new SystemClock());
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stub = new ModelStub(server);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      stub.#answer(model, key, request, response).catch(() => response.destroy());
    });
    return stub;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(model: DemoModel, key: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const authorization = request.headers.authorization ?? '';
    this.calls.push({ path: request.url ?? '', authorization, headers: JSON.stringify(request.headers), body });
    if (authorization !== `Bearer ${key}`) {
      response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":{"message":"wrong key"}}');
      return;
    }
    if (request.method === 'GET') {
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"object":"list","data":[{"id":"demo","object":"model"}]}');
      return;
    }
    assert.equal(request.url, '/v1/responses');
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const answer = await model.send({
      parsed: JSON.parse(body) as Readonly<Record<string, unknown>>,
      signal: gone.signal,
    });
    response.writeHead(answer.status, { ...answer.headers });
    for await (const bytes of answer.body) response.write(bytes);
    response.end();
  }
}
