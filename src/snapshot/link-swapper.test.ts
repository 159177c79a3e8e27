import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { labKey, labRollout, SnapshotLab, toolLine } from '../testing/snapshot-lab.ts';

const scale = Number(process.env['CODEX_FLEET_FAULTS_SCALE'] ?? 1);
const racingMs = 3000 * scale;
const canary = 'outside-of-every-session';
/** What a racing file, directory and rollout hold when they are not links. */
const inside = 'inside';

/** As an agent would: puts a link where a file or a directory was, and back, as fast as it can. */
const swapper = `
const fs = require('node:fs');
const [ws, sessions, outside] = process.argv.slice(1);
const pairs = [
  [ws + '/file', outside + '/file'],
  [ws + '/dir', outside + '/dir'],
  [ws + '/deep/er', outside + '/dir'],
  [sessions + '/2026/01', outside + '/rollouts'],
];
for (const [real, target] of pairs) {
  fs.renameSync(real, real + '.real');
  fs.symlinkSync(target, real + '.link');
}
process.stdout.write('racing\\n');
const step = (from, to) => { try { fs.renameSync(from, to); } catch {} };
for (;;) {
  for (const [real] of pairs) { step(real + '.real', real); step(real, real + '.real'); }
  for (const [real] of pairs) { step(real + '.link', real); step(real, real + '.link'); }
}`;

async function race(lab: SnapshotLab, during: () => Promise<void>): Promise<number> {
  const outside = path.join(lab.root, 'outside');
  const rolloutName = path.basename(labRollout);
  for (const dir of ['dir', 'rollouts/01']) mkdirSync(path.join(outside, dir), { recursive: true });
  for (const file of ['file', 'dir/inner', `rollouts/01/${rolloutName}`])
    writeFileSync(path.join(outside, file), canary);
  lab.write('file', inside);
  lab.write('dir/inner', inside);
  lab.write('deep/er/inner', inside);
  for (let index = 0; index < 50; index += 1) lab.write(`dir/${index}`, inside);
  const child: ChildProcess = spawn(process.execPath, ['-e', swapper, lab.place.ws, lab.place.sessions, outside], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let rounds = 0;
  try {
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    const end = performance.now() + racingMs;
    for (; performance.now() < end; rounds += 1) await during();
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
  return rounds;
}

/** Where the canary was found. */
async function leaksOf(lab: SnapshotLab): Promise<string[]> {
  const leaks: string[] = [];
  for (const { name } of await lab.store.list(labKey)) {
    const content = await lab.store.read(labKey, name);
    // Trees and events are compressed, and hold hashes of contents at most.
    if (content !== null && Buffer.from(content).includes(canary)) leaks.push(name);
  }
  return leaks;
}

test('an agent that swaps files and directories for links as fast as it can gets no outside byte into a snapshot', async () => {
  await using lab = new SnapshotLab();
  let taken = 0;
  const rounds = await race(lab, async () => {
    try {
      // What was just there may be away: then the rollout is missing, or reads otherwise.
      const { ref } = await lab.snapshots.take(lab.request({ base: taken % 2 === 0 ? null : lab.ref }));
      lab.ref = ref;
      taken += 1;
    } catch (error) {
      assert.equal((error as { code?: unknown }).code, 'session_corrupt');
    }
  });
  assert.ok(rounds > 10 && taken > 0, `${taken} of ${rounds} were taken`);
  assert.deepEqual(await leaksOf(lab), []);
});

test('the check for outside bytes finds them when links are followed', async () => {
  await using lab = new SnapshotLab();
  let taken = 0;
  await race(lab, async () => {
    taken += 1;
    const content: Buffer[] = [];
    const follow = (dir: string): void => {
      for (const name of readdirSync(dir)) {
        const file = path.join(dir, name);
        try {
          if (statSync(file).isDirectory()) follow(file);
          else content.push(readFileSync(file));
        } catch {
          // It is elsewhere by now.
        }
      }
    };
    follow(lab.place.ws);
    await lab.store.put(labKey, `1.${taken}.followed`, content);
  });
  lab.appendRollout(toolLine);
  assert.notDeepEqual(await leaksOf(lab), []);
});
