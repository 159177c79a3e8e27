// The demo model as a server of its own, without proxy or credential: for tests and for trying Codex
// against it by hand. In the product the proxy calls the demo model directly.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../core/clock.ts';
import type { ListenAddress } from '../../http/listener.ts';
import { breakOff } from '../break-off.ts';
import { Listener } from '../listener.ts';
import { DemoModel, demoModelId } from './demo-model.ts';

export type DemoServer = {
  listen(): Promise<ListenAddress>;
  stop(): Promise<void>;
};

const requestTimeoutMs = 60_000;

export function createDemoServer(address: ListenAddress, clock: Clock): DemoServer {
  const model = new DemoModel(clock);
  const listener = new Listener({
    address,
    clock,
    requestTimeoutMs,
    handler: (request, response) => void serve(model, request, response).catch(() => breakOff(response, clock)),
  });
  return { listen: () => listener.listen(), stop: () => listener.stop(0) };
}

async function serve(model: DemoModel, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET' && request.url === '/v1/models') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ object: 'list', data: [{ id: demoModelId, object: 'model' }], models: [] }));
    return;
  }
  if (request.method !== 'POST' || request.url !== '/v1/responses') {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { message: 'There is no such route.', type: 'invalid_request_error' } }));
    return;
  }
  const abort = new AbortController();
  response.once('close', () => abort.abort(new Error('the client left')));
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const answer = await model.send({ parsed, signal: abort.signal });
  response.writeHead(answer.status, { ...answer.headers });
  response.flushHeaders();
  for await (const chunk of answer.body) {
    if (!response.write(chunk))
      await new Promise<void>((resolve) => void response.once('drain', resolve).once('close', resolve));
    abort.signal.throwIfAborted();
  }
  response.end();
}
