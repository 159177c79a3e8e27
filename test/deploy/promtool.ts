// Prometheus's own tool, where it is installed: checks rule files, and tries rules on series that never were.

import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

export const missingPromtool = 'needs promtool (Debian: apt-get install --no-install-recommends prometheus)';

/** What a test's `skip` wants: false, or why. */
export function withoutPromtool(): string | false {
  return spawnSync('promtool', ['--version']).status === 0 ? false : missingPromtool;
}

/** What it printed. Rejects with that when it found something. */
export async function promtool(args: readonly string[]): Promise<string> {
  try {
    const { stderr, stdout } = await promisify(execFile)('promtool', [...args], { timeout: 60_000 });
    return `${stdout}${stderr}`;
  } catch (error) {
    const { stderr = '', stdout = '' } = error as { readonly stderr?: string; readonly stdout?: string };
    throw new Error(`promtool ${args.join(' ')}\n${stdout}${stderr}`, { cause: error });
  }
}
