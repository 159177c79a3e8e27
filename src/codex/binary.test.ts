import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { CodexNotInstalled, locateCodex } from './binary.ts';

test('the installed package is found with its version, its binary and its bubblewrap', async () => {
  const binary = await locateCodex();
  assert.match(binary.version, /^\d+\.\d+\.\d+$/);
  assert.ok(binary.codexPath.startsWith(binary.vendorDir));
  assert.ok(binary.bwrapPath?.endsWith('/codex-resources/bwrap'));
});

test('a platform that Codex Fleet does not run on is named, with what to do', async () => {
  await assert.rejects(locateCodex({ platform: 'darwin' }), /not on darwin .*container image/);
});

test('an install without its native part, or with a broken one, says what to install', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'codex-install-'));
  const from = path.join(root, 'main.js');
  const put = async (file: string, text: string): Promise<void> => {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  };
  const options = { from, platform: 'linux', arch: 'arm64' };
  try {
    await assert.rejects(locateCodex(options), /npm install @openai\/codex$/);
    await put('node_modules/@openai/codex/package.json', '{"version":"1.2.3"}');
    await assert.rejects(locateCodex(options), (error: unknown) => {
      assert.ok(error instanceof CodexNotInstalled);
      assert.match(error.message, /--include=optional/);
      return true;
    });
    const nested = 'node_modules/@openai/codex/node_modules/@openai/codex-linux-arm64';
    await put(`${nested}/package.json`, '{}');
    await assert.rejects(locateCodex(options), /without its binary/);
    await put(`${nested}/vendor/aarch64-unknown-linux-musl/bin/codex`, '');
    await assert.rejects(locateCodex(options), /cannot be executed/);
    await chmod(path.join(root, nested, 'vendor/aarch64-unknown-linux-musl/bin/codex'), 0o755);
    const binary = await locateCodex(options);
    assert.deepEqual([binary.version, binary.bwrapPath], ['1.2.3', null]);
  } finally {
    await rm(root, { recursive: true });
  }
});
