// The clusters of the README, started by their commands, say what is shown, and each `curl` line that they print
// works.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { ExecResponse } from '../../src/api/exec.ts';
import { isRedisInstalled, missingRedis } from '../../src/testing/redis-server.ts';
import { GoogleServices } from '../cluster/google-services.ts';
import { eventually } from '../e2e/eventually.ts';
import { newDirectory, plainEnvironment, repository } from '../e2e/fleet-under-test.ts';
import { findByMark, isAlive } from '../e2e/processes.ts';
import { examplesOf, patternOf, readBlocks } from './readme-blocks.ts';

const readyMs = 90_000;
const stopMs = 60_000;

test('npm run cluster starts what the README shows, and each line that it prints is answered [cluster-start]', {
  timeout: 240_000,
}, async (t) => {
  if (!isRedisInstalled()) {
    t.skip(missingRedis);
    return;
  }
  // Any port that is free: two are asked for one after the other, and others may have them.
  const command = (code: string, home: string): string => code.replace('~', home).replace('--port 8090', '--port 0');
  await assertAnswers('cluster', command, {});
});

test('the same with its records in Firestore and its snapshots in Cloud Storage [cluster-start]', {
  timeout: 240_000,
}, async (t: TestContext) => {
  if (!isRedisInstalled()) {
    t.skip(missingRedis);
    return;
  }
  const google = await GoogleServices.start();
  if (typeof google === 'string') {
    t.skip(google);
    return;
  }
  try {
    // As the README has it, on the services of the test.
    const { CODEX_FLEET_GOOGLE_BUCKET, CODEX_FLEET_GOOGLE_PROJECT, ...emulators } = google.environment;
    const command = (code: string, home: string): string =>
      `${code
        .replace('=my-project', `=${CODEX_FLEET_GOOGLE_PROJECT}`)
        .replace('=my-snapshots', `=${CODEX_FLEET_GOOGLE_BUCKET}`)} --port 0 --data-dir ${home}/cluster`;
    await assertAnswers('google', command, emulators);
  } finally {
    await google.stop();
  }
});

async function assertAnswers(
  kind: 'cluster' | 'google',
  commandOf: (code: string, home: string) => string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const [example, ...others] = examplesOf(readBlocks('README.md')).filter((block) => block.kind === kind);
  assert.ok(example !== undefined && others.length === 0);
  const shown = example.shown?.code ?? null;
  const home = newDirectory();
  const ends = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'TERM'] : [];
  const [program, ...args] = [...ends, 'bash', '-c', `exec env ${commandOf(example.code, home)}`];
  const child = spawn(program, args, {
    cwd: repository,
    env: { ...plainEnvironment(home), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-20_000)));
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    await eventually('the cluster says ready', readyMs, () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${stderr}`);
      return /^ready$/m.test(stdout);
    });
    const curlsOf = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('curl '));
    const curls = curlsOf(stdout);
    if (shown !== null) assert.match(stdout, patternOf(shown));
    assert.equal(curls.length, shown === null ? 2 : curlsOf(shown).length);
    for (const curl of curls) {
      const said = await promisify(execFile)('bash', ['-c', curl], { timeout: 30_000 });
      const answer = JSON.parse(said.stdout) as ExecResponse;
      assert.deepEqual([answer.status, answer.stdout], ['completed', 'hello'], said.stdout);
    }
  } finally {
    // As Ctrl-C does it: the whole group.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGINT');
    const code = await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, stopMs, 'late').unref())]);
    if (code === 'late' && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    const left = findByMark(home).filter(isAlive);
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    assert.notEqual(code, 'late', 'it ends in time');
    assert.deepEqual(left, [], 'no process is left');
  }
}
