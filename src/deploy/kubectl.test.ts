import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { KubectlMissing, runKubectl, runWithin } from './kubectl.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'fleet-kubectl-'));
const usualPath = process.env['PATH'];
before(() => {
  process.env['PATH'] = `${dir}:${usualPath}`;
});
after(() => {
  process.env['PATH'] = usualPath;
  rmSync(dir, { recursive: true, force: true });
});

function standIn(script: string): void {
  const file = path.join(dir, 'kubectl');
  writeFileSync(file, `#!/bin/bash\n${script}\n`);
  chmodSync(file, 0o700);
}

test('what kubectl says comes back, with its code', async () => {
  standIn('echo "$1"; echo no >&2; exit 3');
  assert.deepEqual(await runKubectl(['kustomize']), { code: 3, stdout: 'kustomize\n', stderr: 'no\n' });
});

test('one that hangs is ended, and so is the wait for what it has started', async () => {
  // The way it signs in outlives it, with its output open; and it does not end when it is asked to.
  standIn('trap "" TERM; sleep 3 & sleep 3');
  const beganMs = performance.now();
  const { code, stderr } = await runWithin(['get'], 200);
  assert.deepEqual([code, stderr], [null, 'kubectl did not end within 0.2 s']);
  assert.ok(performance.now() - beganMs < 2_000);
});

test('an answer without end is given up, in words', async () => {
  standIn('exec yes');
  const { code, stderr, stdout } = await runKubectl(['get']);
  assert.deepEqual([code, stdout], [null, '']);
  assert.match(stderr, /more than 67108864 bytes/);
});

test('where there is none, that is what is said', async () => {
  process.env['PATH'] = '/nowhere';
  await assert.rejects(runKubectl(['version']), KubectlMissing);
  process.env['PATH'] = `${dir}:${usualPath}`;
});
