import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Storage } from '@google-cloud/storage';
import { GcsServer } from './gcs-server.ts';

const program = fileURLToPath(new URL('./gcs-server-main.ts', import.meta.url));

async function started(dir: string, port: string): Promise<{ process: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [program, '--port', port, '--dir', dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { process: child, url: line.toString().trim() };
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

test('what the process was given outlives it, begun uploads included', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'gcs-server-'));
  let running = await started(dir, '0');
  try {
    const file = new Storage({ apiEndpoint: running.url, projectId: 'p' }).bucket('fleet').file('a/b');
    await file.save('before', { resumable: false });
    const begun = await fetch(`${running.url}/upload/storage/v1/b/fleet/o?uploadType=resumable&name=c`, {
      method: 'POST',
    });
    const upload = String(begun.headers.get('location'));
    await killed(running.process);
    running = await started(dir, new URL(running.url).port);
    assert.equal(String((await file.download())[0]), 'before');
    const put = await fetch(upload, { method: 'PUT', headers: { 'content-range': 'bytes 0-4/5' }, body: 'after' });
    assert.deepEqual([put.status, ((await put.json()) as { size: string }).size], [200, '5']);
  } finally {
    await killed(running.process);
    rmSync(dir, { recursive: true, force: true });
  }
});

test('its faults are real: who does not look is given wrong octets, less than all, or no answer', async () => {
  await using server = await GcsServer.start({ bucket: 'fleet', dir: null });
  const content = Buffer.alloc(100_000, 'x');
  await fetch(`${server.url}/upload/storage/v1/b/fleet/o?uploadType=media&name=one`, { method: 'POST', body: content });
  const url = `${server.url}/storage/v1/b/fleet/o/one?alt=media`;
  const read = async (): Promise<Buffer> => Buffer.from(await (await fetch(url)).arrayBuffer());
  const plant = (act: unknown): Promise<Response> => {
    const fault = JSON.stringify({ on: ['media'], act });
    return fetch(`${server.url}/_control/faults`, { method: 'POST', body: fault });
  };
  assert.deepEqual(await read(), content);
  await plant('wrong_octets');
  assert.notDeepEqual(await read(), content);
  await plant('cut');
  await assert.rejects(read());
  await plant({ status: 503 });
  assert.equal((await fetch(url)).status, 503);
  assert.deepEqual(await read(), content);
});
