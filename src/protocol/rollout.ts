// The first line of a session's rollout, which we write ourselves: it makes the thread's id ours and
// lets a bound slot always resume, read-only, and never start a thread (which would trust the workspace).

import type { SessionId } from '../core/ids.ts';

/** Where every session finds its files, inside its cage. Frozen: rollouts contain it. */
export const workspacePath = '/s/ws';

/** The name of our provider in config.toml. Frozen: rollouts contain it. */
export const modelProviderName = 'fleet';

export type RolloutSeed = {
  readonly sessionId: SessionId;
  readonly createdAtMs: number;
  readonly codexVersion: string;
  readonly modelProvider: string;
};

/** Below the Codex home; `line` ends with a newline. */
export type SeededRollout = { readonly relativePath: string; readonly line: string };

export function seedRollout(seed: RolloutSeed): SeededRollout {
  const timestamp = new Date(seed.createdAtMs).toISOString();
  const [date = '', time = ''] = timestamp.slice(0, 19).split('T');
  const meta = {
    id: seed.sessionId,
    timestamp,
    cwd: workspacePath,
    originator: 'codex_fleet',
    cli_version: seed.codexVersion,
    source: 'appServer',
    model_provider: seed.modelProvider,
  };
  return {
    relativePath: `sessions/${date.replaceAll('-', '/')}/rollout-${date}T${time.replaceAll(':', '-')}-${seed.sessionId}.jsonl`,
    line: `${JSON.stringify({ timestamp, type: 'session_meta', payload: meta })}\n`,
  };
}
