// Makes a worker's Codex seem to be another version: its binary is the installed one, its package says
// otherwise. So what our code does about versions can be tried where only one is to be had.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../e2e/fleet-under-test.ts';

/** What a worker finds in its environment to take it for that version. `dir` is made. */
export function asIfCodexWere(version: string, dir: string): Readonly<Record<string, string>> {
  const scope = path.join(dir, 'node_modules', '@openai');
  const shim = path.join(scope, 'codex', 'package.json');
  mkdirSync(path.dirname(shim), { recursive: true });
  writeFileSync(shim, JSON.stringify({ name: '@openai/codex', version }));
  for (const arch of ['x64', 'arm64']) {
    const native = `codex-linux-${arch}`;
    symlinkSync(path.join(repository, 'node_modules', '@openai', native), path.join(scope, native));
  }
  return withCodexAt(shim, dir);
}

/** The environment in which the package of Codex is found there. */
export function withCodexAt(shim: string, dir: string): Readonly<Record<string, string>> {
  const preload = path.join(dir, 'other-codex.cjs');
  writeFileSync(
    preload,
    [
      "const Module = require('node:module');",
      'const resolve = Module._resolveFilename;',
      `const shim = ${JSON.stringify(shim)};`,
      'Module._resolveFilename = function (request, ...more) {',
      "  return request === '@openai/codex/package.json' ? shim : resolve.call(this, request, ...more);",
      '};',
      '',
    ].join('\n'),
  );
  return { NODE_OPTIONS: `--require=${preload}` };
}
