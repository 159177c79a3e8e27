// A process that speaks the app-server protocol from a script, for what the real binary cannot be made
// to do. Argument: the script's file. Started by a wrapper that stands where the Codex binary would.

import { openSync, readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Script } from './script.ts';
import { ScriptPlayer } from './script-player.ts';

// The name under which Codex's process is looked for.
process.title = 'codex';

const script = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Script;
const kept: unknown[] = [];

if (script.exitAtStart !== undefined) process.exit(script.exitAtStart);
if (script.ignoresSigterm === true) process.on('SIGTERM', () => {});

const player = new ScriptPlayer(script, {
  say: (line) => void process.stdout.write(`${line}\n`),
  spill: (bytes) => {
    const chunk = 'x'.repeat(1024 * 1024);
    for (let sent = 0; sent < bytes; sent += chunk.length) process.stdout.write(chunk);
  },
  after: (delayMs, callback) => void setTimeout(callback, delayMs),
  // Codex's own writes do not wait in its process: what the script said before is on its way when it ends.
  exit: (code) => void process.stdout.write('', () => process.exit(code)),
  signal: (name) => void process.stdout.write('', () => process.kill(process.pid, name)),
  grow: (bytes) => {
    for (let grown = 0; grown < bytes; grown += 16 * 1024 * 1024) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));
  },
  openFiles: (count) => {
    for (let n = 0; n < count; n++) kept.push(openSync('/dev/null', 'r'));
  },
});

const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
lines.on('line', (line) => {
  try {
    player.hear(line);
  } catch (error) {
    writeSync(2, `scripted codex: ${String(error)}\n`);
  }
});
lines.on('close', () => {
  if (script.ignoresSigterm !== true) process.exit(0);
});
// As Codex would: alive until its input ends, whatever happens.
setInterval(() => {}, 60_000);
