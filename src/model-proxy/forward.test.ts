import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { runModelProxy } from '../testing/running-model-proxy.ts';
import type { RunningModelProxy } from '../testing/running-model-proxy.ts';
import type { ModelProxyOptions } from './model-proxy.ts';

// Real sockets: a client as Codex is one, the proxy, and a provider that misbehaves on demand.

const apiKey = 'sk-real-key-0123456789abcdef';
const body = { model: 'm', stream: true, input: 'hello' };
const usage = { input_tokens: 10, input_tokens_details: { cached_tokens: 2 }, output_tokens: 3 };
const completed = `event: response.completed\ndata: ${JSON.stringify({ type: 'response.completed', response: { usage } })}\n\n`;

type Handler = (request: IncomingMessage, response: ServerResponse, call: number) => void;
type Setup = {
  readonly running: RunningModelProxy;
  readonly calls: { headers: IncomingMessage['headers']; bytes: Buffer }[];
};

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function setUp(handler: Handler, overrides: Partial<ModelProxyOptions> = {}): Promise<Setup> {
  const calls: Setup['calls'] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const number = calls.push({ headers: request.headers, bytes: Buffer.concat(chunks) });
      handler(request, response, number);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const running = await runModelProxy({
    provider: {
      kind: 'responses',
      baseUrl: `http://127.0.0.1:${port}/base?v=1`,
      apiKey,
      defaultModel: 'm',
      models: ['m'],
    },
    retryLimits: { baseDelayMs: 1 },
    ...overrides,
  });
  cleanups.push(running.stop);
  return { running, calls };
}

function answerStream(response: ServerResponse, text = completed): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.end(text);
}

function answerError(
  response: ServerResponse,
  status: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ error: { message, type: 'x', code: 'x' } }));
}

async function errorOf(response: Response): Promise<{ message: string; code: string }> {
  return ((await response.json()) as { error: { message: string; code: string } }).error;
}

/** The outcomes in the log, oldest first. */
function outcomes(running: RunningModelProxy): unknown[] {
  const lines = running
    .logText()
    .split('\n')
    .filter((line) => line.includes('"model_call_ended"'));
  return lines.map((line) => (JSON.parse(line) as { outcome: unknown }).outcome);
}

async function openCall(running: RunningModelProxy): Promise<IncomingMessage> {
  const request = httpRequest(`${running.baseUrl}/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${running.grant.credential}` },
  });
  request.end(JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function rejected(response: Response): Promise<boolean> {
  return await response.text().then(
    () => false,
    () => true,
  );
}

test('a call goes to the provider with the real key and without what the agent could add', async () => {
  const { running, calls } = await setUp((_request, response) => answerStream(response));
  const response = await running.post(body, {
    headers: { cookie: 'a=b', 'openai-organization': 'other', 'x-codex-turn-state': 's', originator: 'codex_exec' },
  });
  assert.equal(response.headers.get('content-type'), 'text/event-stream');
  assert.equal(await response.text(), completed);
  const headers = calls[0]?.headers ?? {};
  assert.equal(headers.authorization, `Bearer ${apiKey}`);
  assert.equal(headers['x-codex-turn-state'], 's');
  assert.equal(headers['originator'], 'codex_exec');
  assert.deepEqual([headers.cookie, headers['openai-organization']], [undefined, undefined]);
  assert.deepEqual(JSON.parse(calls[0]?.bytes.toString() ?? ''), body);
});

test('tokens and calls of a turn are counted', async () => {
  const { running } = await setUp((_request, response) => answerStream(response));
  await (await running.post(body)).text();
  await (await running.post(body)).text();
  const end = await fetch(`${running.controlUrl}/grants/${running.grant.id}/turns/turn-1`, {
    method: 'DELETE',
    headers: { authorization: 'Bearer control-credential-of-the-test' },
  });
  assert.deepEqual(await end.json(), {
    calls: 2,
    usage: { input_tokens: 20, cached_input_tokens: 4, output_tokens: 6, reasoning_output_tokens: 0 },
  });
});

test('a provider that never sends headers is given up', async () => {
  const { running, calls } = await setUp(() => {}, { timeouts: { headerMs: 50 } });
  const response = await running.post(body);
  assert.equal(response.status, 504);
  assert.equal((await errorOf(response)).code, 'provider_timed_out');
  assert.equal(calls.length, 1);
  assert.deepEqual(outcomes(running), ['timed_out']);
});

test('a 429 that says when is repeated then', async () => {
  const { running, calls } = await setUp((_request, response, call) =>
    call === 1 ? answerError(response, 429, 'slow down', { 'retry-after': '0' }) : answerStream(response),
  );
  assert.equal((await running.post(body)).status, 200);
  assert.equal(calls.length, 2);
});

test('a provider that fails for ever is asked three times, and its answer is passed on', async () => {
  const { running, calls } = await setUp((_request, response) => answerError(response, 500, 'it broke'));
  const response = await running.post(body);
  assert.equal(response.status, 500);
  assert.equal((await errorOf(response)).message, 'it broke');
  assert.equal(calls.length, 3);
});

test('what a repetition cannot help becomes a 400, so that Codex does not repeat it', async () => {
  const { running, calls } = await setUp((_request, response) => answerError(response, 404, 'no such model'));
  const response = await running.post(body);
  assert.deepEqual([response.status, response.headers.get('x-codex-fleet-upstream-status')], [400, '404']);
  assert.equal((await errorOf(response)).message, 'no such model');
  assert.equal(calls.length, 1);
});

test('a provider that cannot be reached is named as that', async () => {
  const { running } = await setUp(() => {}, {
    provider: { kind: 'responses', baseUrl: 'http://127.0.0.1:1/v1', apiKey, defaultModel: 'm', models: ['m'] },
  });
  const response = await running.post(body);
  assert.equal(response.status, 502);
  assert.match((await errorOf(response)).message, /ECONNREFUSED/);
});

test('an answer that breaks in mid-stream breaks for Codex too, behind the bytes that came', async () => {
  const { running } = await setUp((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: a\n\n', () => response.destroy());
  });
  // Not fetch: it drops what it has read when the connection breaks.
  const response = await openCall(running);
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await once(response, 'error');
  assert.equal(text, 'event: a\n\n');
  assert.deepEqual(outcomes(running), ['provider_error']);
});

test('an answer that goes silent is cut', async () => {
  const { running } = await setUp(
    (_request, response) => {
      response.writeHead(200);
      response.write('x');
    },
    { timeouts: { idleMs: 50 } },
  );
  assert.ok(await rejected(await running.post(body)));
  assert.deepEqual(outcomes(running), ['timed_out']);
});

test('a slow reader slows the provider down, and loses nothing', async () => {
  const chunk = Buffer.alloc(256 * 1024, 'x');
  const chunks = 400;
  let written = 0;
  const stuck = Promise.withResolvers<number>();
  const { running } = await setUp((_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.writableNeedDrain && stuck.resolve(written), 200);
    response.once('close', () => clearInterval(timer));
    const fill = (): void => {
      while (written < chunks) {
        written += 1;
        if (!response.write(chunk)) return void response.once('drain', fill);
      }
      response.end();
    };
    fill();
  });
  const response = await openCall(running);
  response.pause();
  const writtenWhenStuck = await stuck.promise;
  assert.ok(writtenWhenStuck < chunks / 2, `${writtenWhenStuck} of ${chunks} chunks were taken without a reader`);
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) bytes += part.length;
  assert.equal(bytes, chunk.length * chunks);
});

test('a reader that never reads is cut', async () => {
  const { running } = await setUp(
    (_request, response) => {
      response.writeHead(200);
      response.end(Buffer.alloc(64 * 1024 * 1024));
    },
    { timeouts: { idleMs: 100 } },
  );
  const response = await openCall(running);
  await logged(running);
  response.destroy();
  assert.deepEqual(outcomes(running), ['timed_out']);
});

for (const [how, end] of [
  ['its turn ends', (running: RunningModelProxy) => running.client.endTurn(running.grant.id, 'turn-1')],
  ['its grant is revoked', (running: RunningModelProxy) => running.client.revoke(running.grant.id)],
  ['the proxy stops', (running: RunningModelProxy) => running.proxy.stop()],
] as const) {
  test(`a call under way is cut on both sides when ${how}`, async () => {
    const upstreamClosed = Promise.withResolvers<void>();
    const { running } = await setUp((_request, response) => {
      response.once('close', upstreamClosed.resolve);
      response.writeHead(200);
      response.write('x');
    });
    const response = await running.post(body);
    await end(running);
    assert.ok(await rejected(response));
    await upstreamClosed.promise;
    assert.deepEqual(outcomes(running), ['cut']);
  });
}

test('a client that goes takes the call to the provider with it, before the headers too', async () => {
  for (const hasHeaders of [true, false]) {
    const abort = new AbortController();
    const upstreamClosed = Promise.withResolvers<void>();
    const { running } = await setUp((_request, response) => {
      response.once('close', upstreamClosed.resolve);
      if (hasHeaders) response.write('x');
      else abort.abort();
    });
    const response = running.post(body, { signal: abort.signal });
    if (hasHeaders) {
      await response;
      abort.abort();
    } else {
      await assert.rejects(response);
    }
    await upstreamClosed.promise;
    await logged(running);
    assert.deepEqual(outcomes(running), ['cut']);
  }
});

test('a body past the limit is refused, announced or not', async () => {
  const { running, calls } = await setUp(() => {}, { bodyLimits: { maxBytes: 1000 } });
  for (const duplex of [false, true]) {
    const bytes = new Uint8Array(5000);
    const response = await fetch(`${running.baseUrl}/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${running.grant.credential}` },
      ...(duplex ? { body: new Blob([bytes]).stream(), duplex: 'half' } : { body: bytes }),
    } as RequestInit);
    assert.equal(response.status, 400);
    assert.equal((await errorOf(response)).code, 'body_too_large');
  }
  assert.equal(calls.length, 0);
});

test('a large body passes as it is', async () => {
  const { running, calls } = await setUp((_request, response) => answerStream(response));
  const large = Buffer.from(JSON.stringify({ ...body, input: 'é'.repeat(4_000_000) }));
  assert.equal((await running.post(large)).status, 200);
  assert.ok(calls[0]?.bytes.equals(large));
});

test('a compressed body is looked into and passes as it is', async () => {
  const { running, calls } = await setUp((_request, response) => answerStream(response), {
    bodyLimits: { maxBytes: 100_000 },
  });
  const limited = await running.client.issue({ tenant: 'default', sessionId: 's2', epoch: 1, models: ['m'] });
  await running.client.beginTurn(limited.id, 't');
  const send = (value: object): Promise<Response> =>
    running.post(zstdCompressSync(JSON.stringify(value)), {
      headers: { 'content-encoding': 'zstd', authorization: `Bearer ${limited.credential}` },
    });
  assert.equal((await send(body)).status, 200);
  assert.equal(calls[0]?.headers['content-encoding'], 'zstd');
  assert.ok(calls[0]?.bytes.equals(zstdCompressSync(JSON.stringify(body))));
  assert.equal((await errorOf(await send({ ...body, model: 'dear' }))).code, 'model_not_allowed');
  assert.equal((await errorOf(await send({ ...body, input: 'x'.repeat(1_000_000) }))).code, 'body_too_large');
});

for (const [title, sent, headers, code] of [
  ['no JSON', Buffer.from('{'), {}, 'invalid_json'],
  ['no object', Buffer.from('[]'), {}, 'invalid_json'],
  ['no model', Buffer.from('{}'), {}, 'invalid_json'],
  ['a stored response', { ...body, previous_response_id: 'resp_1' }, {}, 'field_not_allowed'],
  ['a background call', { ...body, background: true }, {}, 'field_not_allowed'],
  ['an unknown encoding', body, { 'content-encoding': 'rot13' }, 'unsupported_encoding'],
  ['a false encoding', body, { 'content-encoding': 'gzip' }, 'unsupported_encoding'],
] as const) {
  test(`a call with ${title} is refused before the provider sees it`, async () => {
    const { running, calls } = await setUp((_request, response) => answerStream(response));
    const response = await running.post(sent, { headers });
    assert.equal(response.status, 400);
    assert.equal((await errorOf(response)).code, code);
    assert.equal(calls.length, 0);
  });
}

test('the real key is in no answer and no log, whatever the provider echoes', async () => {
  const { running } = await setUp((request, response, call) => {
    const echo = `Incorrect API key provided: ${call === 1 ? apiKey : 'sk-real-******cdef'}. ${request.headers.authorization}`;
    if (call < 3)
      answerError(response, 401, echo, { 'x-request-id': apiKey, 'set-cookie': 'a=b', 'openai-organization': 'us' });
    else {
      response.writeHead(403, { 'content-type': 'text/plain' });
      response.end(echo);
    }
  });
  let seen = '';
  for (const _ of [1, 2, 3]) {
    const response = await running.post(body);
    assert.equal(response.status, 400);
    seen += JSON.stringify([...response.headers]) + (await response.text());
  }
  seen += running.logText() + JSON.stringify(await running.client.status());
  assert.match(seen, /Incorrect API key provided: \[key removed\]/);
  assert.doesNotMatch(seen, /sk-real|cdef|set-cookie|openai-organization/);
  assert.ok(!running.logText().includes(running.grant.credential));
});

test('a credential that is none, a wrong one and one that ended get their own answers', async () => {
  const { running, calls } = await setUp((_request, response) => answerStream(response));
  const ask = async (authorization: string): Promise<[number, string]> => {
    const response = await running.post(body, { headers: { authorization } });
    return [response.status, (await errorOf(response)).code];
  };
  assert.deepEqual(await ask(''), [401, 'invalid_api_key']);
  assert.deepEqual(await ask('Bearer nonsense'), [401, 'invalid_api_key']);
  await running.client.revoke(running.grant.id);
  assert.deepEqual(await ask(`Bearer ${running.grant.credential}`), [400, 'grant_ended']);
  assert.equal(calls.length, 0);
});

test('a turn that has used up its calls gets no more, repetitions counted', async () => {
  const { running, calls } = await setUp((_request, response) => answerError(response, 500, 'x'), {
    grantLimits: { maxCallsPerTurn: 2 },
  });
  const response = await running.post(body);
  assert.deepEqual([response.status, (await errorOf(response)).code], [400, 'turn_budget_exhausted']);
  assert.equal(calls.length, 2);
});

test('the data face has two routes and nothing else', async () => {
  const { running } = await setUp(() => {});
  const authorization = `Bearer ${running.grant.credential}`;
  const models = await fetch(`${running.baseUrl}/models`, { headers: { authorization } });
  assert.deepEqual(await models.json(), {
    object: 'list',
    data: [{ id: 'm', object: 'model', created: 0, owned_by: 'responses' }],
    models: [],
  });
  assert.equal((await fetch(`${running.baseUrl}/models`)).status, 401);
  for (const path of ['/responses/compact', '/files', '/../grants', '/responses/']) {
    const response = await fetch(`${running.baseUrl}${path}`, { method: 'POST', headers: { authorization } });
    assert.deepEqual([response.status, (await errorOf(response)).code], [404, 'not_found']);
  }
});

/** The log line of a call is written when both sides are done, which may be after the client saw its end. */
async function logged(running: RunningModelProxy): Promise<void> {
  while (outcomes(running).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
