import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, before, test } from 'node:test';
import { SystemClock } from '../../observability/system-clock.ts';
import { createDemoServer } from './demo-server.ts';
import type { DemoServer } from './demo-server.ts';

let server: DemoServer;
let baseUrl: string;

before(async () => {
  server = createDemoServer({ host: '127.0.0.1', port: 0 }, new SystemClock());
  const address = await server.listen();
  baseUrl = 'port' in address ? `http://127.0.0.1:${address.port}/v1` : '';
});
after(() => server.stop());

function ask(input: string): Promise<Response> {
  return fetch(`${baseUrl}/responses`, { method: 'POST', body: JSON.stringify({ model: 'demo', input }) });
}

test('the demo model answers alone as it does behind the proxy', async () => {
  assert.match(await (await ask('say: hi')).text(), /"delta":"hi".*response\.completed/s);
  assert.equal((await ask('fail: 418')).status, 418);
  assert.equal((await fetch(`${baseUrl}/models`)).status, 200);
  assert.equal((await fetch(`${baseUrl}/files`)).status, 404);
});

test('an answer that breaks off cuts the connection behind its words', async () => {
  // Not fetch: it drops what it has read when the connection breaks.
  const request = httpRequest(`${baseUrl}/responses`, { method: 'POST' });
  request.end(JSON.stringify({ model: 'demo', input: 'break: after 2 words, always' }));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const [error] = (await once(response, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  assert.match(text, /"delta":"word1".*"delta":" word2"/s);
  assert.doesNotMatch(text, /completed/);
});

test('a stop ends what stalls', async () => {
  const response = await ask('stall');
  const ended = response.text().then(
    () => false,
    () => true,
  );
  await server.stop();
  assert.ok(await ended);
});
