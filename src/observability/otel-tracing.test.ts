import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace';
import { openOtelTracing } from './otel-tracing.ts';
import type { Tracing } from './tracing.ts';

const parent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

function open(samplePercent = 100): { tracing: Tracing; exporter: InMemorySpanExporter } {
  const exporter = new InMemorySpanExporter();
  exporter.shutdown = () => Promise.resolve();
  const facts = { endpoint: 'http://127.0.0.1:9', role: 'gateway', instance: 'one', version: '1.2.3' };
  return { tracing: openOtelTracing({ ...facts, samplePercent, exporter }), exporter };
}

test('a span goes on with the trace that it came from, and what it leads to goes on with it', async () => {
  const { exporter, tracing } = open();
  const span = tracing.start('outer', { kind: 'server', parent });
  const inner = tracing.start('inner', { kind: 'client', parent: span.traceparent, startMs: 1_000 });
  inner.set({ 'gen_ai.usage.input_tokens': 3 });
  inner.end({ error: 'timeout', endMs: 2_000 });
  span.end();
  await tracing.stop();
  const [second, first] = exporter.getFinishedSpans();
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(first.parentSpanContext?.spanId, 'b'.repeat(16));
  assert.equal(second.parentSpanContext?.spanId, first.spanContext().spanId);
  assert.deepEqual(
    [first, second].map((each) => each.spanContext().traceId),
    ['a'.repeat(32), 'a'.repeat(32)],
  );
  assert.deepEqual(
    [second.startTime, second.endTime],
    [
      [1, 0],
      [2, 0],
    ],
  );
  assert.deepEqual(second.attributes, { 'gen_ai.usage.input_tokens': 3, 'error.type': 'timeout' });
  assert.equal(first.resource.attributes['service.name'], 'codex-fleet-gateway');
});

test('what is no traceparent begins a trace of its own', async () => {
  const { exporter, tracing } = open();
  const wrong = [
    null,
    '',
    'x',
    parent.replace('a', 'g'),
    `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
    `ff${parent.slice(2)}`,
  ];
  for (const one of wrong) tracing.start('span', { kind: 'server', parent: one }).end();
  await tracing.stop();
  const spans = exporter.getFinishedSpans();
  assert.equal(spans.length, wrong.length);
  assert.ok(spans.every(({ parentSpanContext }) => parentSpanContext === undefined));
});

test('what an agent calls its model and its tools takes no more room than a name', async () => {
  const { exporter, tracing } = open();
  const long = 'm'.repeat(1_000_000);
  tracing.start(`chat ${long}`, { kind: 'client', parent, attributes: { 'gen_ai.request.model': long } }).end();
  await tracing.stop();
  const [span] = exporter.getFinishedSpans();
  assert.equal(span?.name.length, 256);
  assert.equal(String(span?.attributes['gen_ai.request.model']).length, 256);
});

test('a caller decides whether its trace is kept; the share is of traces that begin here', async () => {
  const { exporter, tracing } = open(0);
  tracing.start('unsampled', { kind: 'server', parent: null }).end();
  tracing.start('sampled by the caller', { kind: 'server', parent }).end();
  await tracing.stop();
  assert.deepEqual(
    exporter.getFinishedSpans().map(({ name }) => name),
    ['sampled by the caller'],
  );
  const all = open(100);
  all.tracing.start('not wanted', { kind: 'server', parent: `${parent.slice(0, -1)}0` }).end();
  await all.tracing.stop();
  assert.deepEqual(all.exporter.getFinishedSpans(), []);
});

test('spans arrive at a collector over OTLP, and a collector that is away holds nobody up', async (t) => {
  const received: { url: string | undefined; body: string }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ url: request.url, body: Buffer.concat(chunks).toString('utf8') });
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const facts = { samplePercent: 100, role: 'worker', instance: 'one', version: '1.2.3' };
  const tracing = openOtelTracing({ ...facts, endpoint: `http://127.0.0.1:${port}/` });
  tracing.start('invoke_agent codex', { kind: 'internal', parent }).end();
  await tracing.stop();
  assert.deepEqual(
    received.map(({ url }) => url),
    ['/v1/traces'],
  );
  for (const said of ['invoke_agent codex', 'codex-fleet-worker']) assert.ok(received[0]?.body.includes(said), said);

  const away = openOtelTracing({ ...facts, endpoint: 'http://127.0.0.1:9' });
  for (let number = 0; number < 10_000; number++) away.start('lost', { kind: 'internal', parent: null }).end();
  const beginMs = performance.now();
  await away.stop();
  assert.ok(performance.now() - beginMs < 10_000);
});
