// Runs a command line of the product to its end, as a shell does: arguments and stdin in, everything
// that it printed and its exit code out.

import { spawn } from 'node:child_process';
import { repository } from './fleet-under-test.ts';

export type CommandRun = {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
};

export type CommandOptions = {
  readonly env: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Called with the child as soon as it prints something to stdout. */
  readonly onOutput?: (child: { kill(signal: NodeJS.Signals): boolean }) => void;
};

const commandDeadlineMs = 40_000;

/** `codex-fleet …`, by the file that package.json names as its command. */
export async function runCommand(args: readonly string[], options: CommandOptions): Promise<CommandRun> {
  const startedMs = performance.now();
  const child = spawn('sh', ['bin/codex-fleet', ...args], {
    cwd: repository,
    env: { ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '') options.onOutput?.(child);
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => {});
  child.stdin.end(options.stdin ?? '');
  const deadline = setTimeout(() => child.kill('SIGKILL'), commandDeadlineMs);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    return { code, stdout, stderr, elapsedMs: performance.now() - startedMs };
  } finally {
    clearTimeout(deadline);
  }
}
