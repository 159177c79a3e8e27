// A slot's $CODEX_HOME before Codex starts: its config.toml, on a copy of an initialised home when
// there is one. Says how Codex runs in a fleet; what one session may do is given per resume and turn.

import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'smol-toml';
import { pinnedSettings } from '../protocol/features.ts';
import { modelProviderName } from '../protocol/rollout.ts';

export type CodexConfig = {
  readonly model: string;
  readonly streamIdleTimeoutMs: number;
  /** Our own version, by which we introduce ourselves. */
  readonly fleetVersion: string;
};

/** Keys are checked by Codex itself: it is started with --strict-config. */
export function renderConfig(config: CodexConfig, baseUrl: string): string {
  return stringify({
    model: config.model,
    model_provider: modelProviderName,
    approval_policy: 'never',
    sandbox_mode: 'read-only',
    ...pinnedSettings(),
    model_providers: {
      [modelProviderName]: {
        name: modelProviderName,
        base_url: baseUrl,
        wire_api: 'responses',
        supports_websockets: false,
        requires_openai_auth: false,
        // The model proxy holds the retry budget: with Codex's defaults one turn made 30 calls.
        request_max_retries: 0,
        stream_max_retries: 2,
        stream_idle_timeout_ms: config.streamIdleTimeoutMs,
      },
    },
    shell_environment_policy: { inherit: 'core', ignore_default_excludes: false },
    // No trust entry for the workspace: `untrusted` would drop its AGENTS.md, `trusted` load its config.
    history: { persistence: 'none' },
    otel: { exporter: 'none', trace_exporter: 'none', metrics_exporter: 'none', log_user_prompt: false },
  });
}

/** Makes ws, home and tmp; what a recycled directory still holds is kept. */
export async function prepareSlotDir(
  slotDir: string,
  options: { config: CodexConfig; baseUrl: string; template: string | null },
): Promise<void> {
  const home = path.join(slotDir, 'home');
  await Promise.all(
    ['ws', 'tmp', 'home'].map((name) => mkdir(path.join(slotDir, name), { recursive: true, mode: 0o700 })),
  );
  if (options.template !== null) await cp(options.template, home, { recursive: true });
  await writeFile(path.join(home, 'config.toml'), renderConfig(options.config, options.baseUrl));
}
