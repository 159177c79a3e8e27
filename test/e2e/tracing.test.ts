import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { ExecResponse } from '../../src/api/exec.ts';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';

type Attribute = { readonly key: string; readonly value: Readonly<Record<string, unknown>> };
type WireSpan = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly status?: { readonly code?: number };
};
type Export = { readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: WireSpan[] }[] }[] };

/** What a collector of OpenTelemetry would have received. */
const received = { spans: [] as WireSpan[], texts: [] as string[] };
const collector = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const text = Buffer.concat(chunks).toString('utf8');
    received.texts.push(text);
    const spans = (JSON.parse(text) as Export).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans);
    received.spans.push(...spans.flatMap((scope) => scope.spans));
    response.setHeader('content-type', 'application/json').end('{}');
  });
});
after(() => collector.close());

const fleet = useFleet(async () => {
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  return { env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` } };
});

const traceId = 'c0de'.repeat(8);

function attribute(span: WireSpan, name: string): unknown {
  const value = span.attributes.find(({ key }) => key === name)?.value;
  return value === undefined ? undefined : Object.values(value)[0];
}

function only(name: string): WireSpan {
  const [span, ...more] = received.spans.filter((each) => each.traceId === traceId && each.name === name);
  assert.ok(span !== undefined, `there is a span ${name}`);
  assert.deepEqual(more, [], `there is one span ${name}`);
  return span;
}

test('one prompt is one trace, from its caller’s span through the gateway, the agent, its tools and its model to the commit [trace-whole]', async () => {
  const parent = 'fee1600dfee1600d';
  const { body, status } = await fleet().client.request<ExecResponse>(
    'POST',
    '/api/v1/exec',
    { prompt: 'run: echo a secret word\nsay: another secret word' },
    { traceparent: `00-${traceId}-${parent}-01` },
  );
  assert.deepEqual([status, body.status], [200, 'completed']);
  await eventually('all spans have come', 20_000, () => {
    const names = new Set(received.spans.map(({ name }) => name));
    return ['POST /api/v1/exec', 'commit', 'invoke_agent codex', 'chat demo'].every((name) => names.has(name));
  });

  const request = only('POST /api/v1/exec');
  const agent = only('invoke_agent codex');
  assert.equal(request.parentSpanId, parent);
  assert.equal(agent.parentSpanId, request.spanId);
  for (const name of ['wait for a slot', 'execute_tool shell', 'commit']) {
    assert.equal(only(name).parentSpanId, agent.spanId, name);
  }
  const calls = received.spans.filter(({ name, traceId: of }) => name === 'chat demo' && of === traceId);
  assert.equal(calls.length, 2, 'one call leads to the command, one to the answer');
  for (const call of calls) {
    assert.equal(call.parentSpanId, agent.spanId);
    assert.equal(attribute(call, 'gen_ai.operation.name'), 'chat');
    assert.equal(attribute(call, 'gen_ai.conversation.id'), body.session_id);
    assert.ok(Number(attribute(call, 'gen_ai.usage.output_tokens')) > 0);
  }
  assert.equal(attribute(agent, 'gen_ai.operation.name'), 'invoke_agent');
  assert.equal(attribute(agent, 'codex_fleet.turn.id'), body.turn_id);
  assert.equal(attribute(agent, 'codex_fleet.turn.status'), 'completed');
  assert.equal(Number(attribute(agent, 'gen_ai.usage.input_tokens')), body.usage.input_tokens);
  assert.equal(agent.status?.code ?? 0, 0);
  for (const text of received.texts) assert.doesNotMatch(text, /secret word/, 'what was said is in no span');
});

test('a turn that does not complete says so, and a request without a trace begins one', async () => {
  const { body } = await fleet().client.request<ExecResponse>('POST', '/api/v1/exec', {
    prompt: 'wait: 60 s\nsay: never',
    timeout_ms: 300,
  });
  assert.equal(body.status, 'timed_out');
  const isOfTurn = (span: WireSpan): boolean => attribute(span, 'codex_fleet.turn.id') === body.turn_id;
  await eventually('the span of the turn has come', 20_000, () => received.spans.some(isOfTurn));
  const agent = received.spans.find((span) => isOfTurn(span) && span.name === 'invoke_agent codex');
  assert.ok(agent !== undefined);
  assert.notEqual(agent.traceId, traceId);
  assert.equal(agent.status?.code, 2);
  assert.equal(attribute(agent, 'codex_fleet.turn.status'), 'timed_out');
});
