// Puts killed at any moment. This file is also what the child process runs: it says on standard output
// which objects were acknowledged to it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FileSnapshotStore } from './file-snapshot-store.ts';

const key = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const objectBytes = 600_000;
const [, , role, root = '', run = ''] = process.argv;

async function putUntilKilled(): Promise<void> {
  const store = new FileSnapshotStore(root);
  for (let number = 0; ; number++) {
    const names = [0, 1, 2].map((part) => `run-${run}-${number}-${part}`);
    await Promise.all(names.map((name) => store.put(key, name, [Buffer.alloc(objectBytes - 1, 1), Buffer.from([2])])));
    writeSync(1, `${names.join('\n')}\n`);
  }
}

if (role === 'put') await putUntilKilled();
else {
  test('an object whose put was killed at any moment is whole or absent, and none that was acknowledged is lost', async () => {
    const home = mkdtempSync(join(tmpdir(), 'file-snapshot-crash-'));
    try {
      for (let round = 0; round < 10; round++) {
        const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'put', join(home, 'root'), `${round}`], {
          stdio: ['ignore', 'pipe', 'inherit'],
          timeout: 60_000,
        });
        const acknowledged: string[] = [];
        createInterface({ input: child.stdout }).on('line', (line) => acknowledged.push(line));
        while (acknowledged.length === 0) await once(child.stdout, 'data');
        // Nothing to wait for: the moment is meant to be any.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        const closed = once(child, 'close');
        child.kill('SIGKILL');
        await closed;
        const store = new FileSnapshotStore(join(home, 'root'));
        const objects = await store.list(key);
        assert.deepEqual(
          objects.filter(({ bytes }) => bytes !== objectBytes),
          [],
        );
        const names = new Set(objects.map(({ name }) => name));
        assert.deepEqual(
          acknowledged.filter((name) => !names.has(name)),
          [],
        );
        const last = objects.at(-1);
        assert.ok(last !== undefined);
        assert.equal((await store.read(key, last.name, { offset: objectBytes - 1, length: 9 }))?.[0], 2);
        await store.remove(key, [...names]);
        await store.put(key, 'after', [Buffer.alloc(objectBytes)]);
        const dir = join(home, 'root', key.tenant, key.sessionId);
        assert.deepEqual(readdirSync(dir), ['after']);
        await store.erase(key);
      }
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });
}
