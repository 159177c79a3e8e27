// Loaded into every test file's process by tools/test.ts: ends a file that takes too long in all, or
// that something keeps alive after its last test, and says what. The runner limits single tests only.

import { after } from 'node:test';

/** Faults that are tried many times over take their time. */
const fileTimeoutMs = 600_000 * Math.max(1, Number(process.env['CODEX_FLEET_FAULTS_SCALE'] ?? 1));
/** What a test has closed may need a moment to be gone. */
const lingerMs = 15_000;

function giveUp(why: string): void {
  const counts = new Map<string, number>();
  for (const resource of process.getActiveResourcesInfo()) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  const alive = [...counts].map(([resource, count]) => `${resource} × ${count}`).join(', ');
  console.error(`${why}; still open: ${alive || 'nothing'}`);
  process.exit(1);
}

// Node 24.21 may spin for ever while it takes a process apart whose work is done (node::Environment::CleanupHandles, once
// in some thousands of files), and no timer of ours fires then. What has nothing left to do need not be taken apart.
process.once('beforeExit', () => process.once('exit', () => process.exit()));

// The timers are unreferenced: they fire only if something else keeps the process alive.
setTimeout(() => giveUp(`the file ran for ${fileTimeoutMs / 1000} s`), fileTimeoutMs).unref();
after(() => {
  setTimeout(
    () => giveUp(`the file's tests have ended, its process has not after ${lingerMs / 1000} s`),
    lingerMs,
  ).unref();
});
