import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import fastify from 'fastify';
import type { Span, Tracing } from '../observability/tracing.ts';
// Brings `isOpen` and `route` of a route's config.
import './request-context.ts';
import { useTracing } from './request-spans.ts';

type Told = { readonly name: string; readonly ended: (string | null)[] };

/** Of each span its name, and with what it ended: once, whatever is said later. */
function recorder(): { readonly spans: Told[]; readonly tracing: Tracing } {
  const spans: Told[] = [];
  const start = (name: string): Span => {
    const told: Told = { name, ended: [] };
    spans.push(told);
    return {
      traceparent: 'a-parent',
      set: () => {},
      end: ({ error } = {}) => {
        if (told.ended.length === 0) told.ended.push(error ?? null);
      },
    };
  };
  return { spans, tracing: { start, stop: async () => {} } };
}

test('a span ends with its request: answered, failed, and left by its client in the middle of a stream', async (t) => {
  const { spans, tracing } = recorder();
  const app = fastify();
  useTracing(app, tracing);
  app.post('/well', (_request, reply) => reply.send({}));
  app.post('/failing', (_request, reply) => reply.code(503).send({}));
  const streams: { readonly closed: Promise<unknown> }[] = [];
  for (const method of ['GET', 'POST'] as const) {
    app.route({
      method,
      url: '/stream',
      handler: (_request, reply) => {
        reply.hijack();
        streams.push({ closed: once(reply.raw, 'close') });
        reply.raw.writeHead(200).write('data: 1\n\n');
      },
    });
  }
  app.get('/livez', { config: { isOpen: true } }, (_request, reply) => reply.send({}));
  await app.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => app.close());
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
  await (await fetch(`${url}/well`, post)).text();
  await (await fetch(`${url}/failing`, post)).text();
  await (await fetch(`${url}/livez`)).text();
  for (const method of ['GET', 'POST']) {
    const asked = httpRequest({ port, method, path: '/stream', headers: { 'content-type': 'application/json' } });
    asked.on('error', () => {});
    asked.end(method === 'POST' ? '{}' : undefined);
    await once(asked, 'response');
    asked.destroy();
  }
  await Promise.all(streams.map(({ closed }) => closed));
  await new Promise<void>((resolve) => setImmediate(resolve));
  assert.deepEqual(
    spans.map(({ ended, name }) => [name, ...ended]),
    [
      ['POST /well', null],
      ['POST /failing', '503'],
      ['GET /stream', 'client_gone'],
      ['POST /stream', 'client_gone'],
    ],
  );
});
