// What a put is given is let go of, however the put ended: it may hold files open.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePortOfLoopback } from '../../testing/redis-server.ts';
import { StoreDoorLab } from '../../testing/store-door-lab.ts';

const key = { tenant: 'acme', sessionId: 'a-session' };
const piece = 1024 * 1024;

/** `left`: how often it was ended, by its end or by whoever reads it. */
function content(pieces: number): { readonly stream: AsyncGenerator<Uint8Array>; left: number } {
  const made = { left: 0, stream: read() };
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < pieces; at += 1) yield new Uint8Array(piece);
    } finally {
      made.left += 1;
    }
  }
  return made;
}

test('a long stream that no door ever took is let go of', async (t) => {
  const lab = new StoreDoorLab();
  t.after(() => lab.close());
  const client = lab.client([`http://127.0.0.1:${await freePortOfLoopback()}`], { timeoutMs: 300 });
  const long = content(20);
  await assert.rejects(client.snapshots.put(key, 'long', long.stream), {
    code: 'store_unavailable',
    details: { store: 'door', reason: 'unreachable', operation: 'objects.put' },
  });
  assert.equal(long.left, 1);
});

test('a long stream that was refused, cut or taken is let go of once', async (t) => {
  const lab = new StoreDoorLab();
  t.after(() => lab.close());
  const { url } = await lab.door();
  const way = await lab.way(url);
  const client = lab.client([way.url]);
  const taken = content(20);
  await client.snapshots.put(key, 'long', taken.stream);
  const refused = content(40);
  await assert.rejects(client.snapshots.put(key, 'long', refused.stream), { code: 'store_conflict' });
  way.faults.push('half_question');
  const cut = content(20);
  await client.snapshots.put(key, 'other', cut.stream).catch(() => undefined);
  assert.deepEqual([taken.left, refused.left, cut.left], [1, 1, 1]);
});
