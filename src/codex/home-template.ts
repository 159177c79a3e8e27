// One initialised $CODEX_HOME to copy for each slot: Codex spends a third of a fresh start on making its
// databases. Holds no session and no credential.

import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type AgentOptions, startAgent } from './agent-process.ts';

/** What one process left for itself. config.toml is written anew for each slot. */
const leftovers = ['config.toml', 'sessions', 'tmp', '.tmp'];

/**
 * Starts Codex once, without a session, stops it, and keeps its home at `dir`, replacing what was there.
 * `dir` must be out of every cage's sight. Answers the path to give as `homeTemplate`.
 */
export async function createHomeTemplate(
  dir: string,
  options: Omit<AgentOptions, 'slotDir' | 'homeTemplate' | 'onNotification' | 'onServerRequest'>,
): Promise<string> {
  const slotDir = `${dir}.making`;
  await rm(slotDir, { recursive: true, force: true });
  try {
    await mkdir(slotDir, { recursive: true, mode: 0o700 });
    const agent = await startAgent({
      ...options,
      slotDir,
      homeTemplate: null,
      onNotification: () => {},
      onServerRequest: async () => ({ error: { code: -32601, message: 'nothing is asked here' } }),
    });
    await agent.stop();
    const home = path.join(slotDir, 'home');
    await Promise.all(leftovers.map((name) => rm(path.join(home, name), { recursive: true, force: true })));
    for (const name of await readdir(home)) if (name.endsWith('.sqlite')) compact(path.join(home, name));
    await rm(dir, { recursive: true, force: true });
    await rename(home, dir);
    return dir;
  } finally {
    await rm(slotDir, { recursive: true, force: true });
  }
}

/** Codex leaves its logs beside its databases at times: half a megabyte that each slot would copy. */
function compact(file: string): void {
  const database = new DatabaseSync(file);
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
}
