import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { SystemClock } from '../../observability/system-clock.ts';
import { probeWorker } from './worker-probe.ts';

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('a worker that answers, one whose address refuses, and one that takes a call and says nothing are told apart', async () => {
  const clock = new SystemClock();
  const answering = createHttpServer((_request, response) => void response.writeHead(503).end('{}'));
  const mute = createServer(() => {});
  const gone = createServer();
  const answeringUrl = await listening(answering);
  const muteUrl = await listening(mute);
  const goneUrl = await listening(gone);
  gone.close();
  await once(gone, 'close');
  try {
    const probes = [answeringUrl, goneUrl, muteUrl].map((url) => probeWorker(url, clock, 200));
    assert.deepEqual(await Promise.all(probes), ['answers', 'refused', 'silent']);
  } finally {
    answering.close();
    mute.close();
  }
});
