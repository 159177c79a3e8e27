// `npm run check`: everything that can be said about the tree without running it, in one command.
// Each step is a process of its own; the slowest start first, a few run at once, all are reported.

import { spawn } from 'node:child_process';
import { dirname } from 'node:path';

type Step = { readonly name: string; readonly script: string; readonly args: readonly string[] };
type StepResult = { readonly step: Step; readonly ok: boolean; readonly output: string; readonly durationMs: number };

const root = dirname(import.meta.dirname);
const stepTimeoutMs = 80_000;
const stepsAtOnce = 3;

const steps: readonly Step[] = [
  { name: 'types', script: 'node_modules/typescript/bin/tsc', args: ['-b'] },
  { name: 'lint', script: 'node_modules/oxlint/bin/oxlint', args: ['--format=unix'] },
  { name: 'generated', script: 'tools/generate-protocol.ts', args: ['--check'] },
  { name: 'reference', script: 'tools/generate-reference.ts', args: ['--check'] },
  { name: 'unused', script: 'node_modules/knip/bin/knip.js', args: ['--no-progress', '--no-config-hints'] },
  { name: 'format', script: 'node_modules/@biomejs/biome/bin/biome', args: ['format', '--error-on-warnings'] },
  { name: 'lockfile', script: 'tools/complete-lockfile.ts', args: ['--check'] },
  { name: 'bootstrap', script: 'tools/generate-bootstrap.ts', args: ['--check'] },
  { name: 'monitoring', script: 'tools/generate-monitoring.ts', args: ['--check'] },
  { name: 'readmes', script: 'tools/check-readmes.ts', args: [] },
];

// Steps run in process groups of their own, because most are a script around a native binary:
// a group can be ended as a whole.
const runningGroups = new Set<number>();

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const pid of runningGroups) killGroup(pid);
    process.exit(130);
  });
}

function runStep(step: Step): Promise<StepResult> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [step.script, ...step.args], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { pid } = child;
    if (pid !== undefined) runningGroups.add(pid);
    let output = '';
    const keep = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      output += `\nended after ${stepTimeoutMs / 1000} s\n`;
      if (pid !== undefined) killGroup(pid);
    }, stepTimeoutMs);
    const finish = (ok: boolean): void => {
      clearTimeout(timer);
      if (pid !== undefined) runningGroups.delete(pid);
      resolve({ step, ok, output, durationMs: performance.now() - startedAt });
    };
    child.once('error', (error) => {
      output += String(error);
      finish(false);
    });
    child.once('close', (code) => finish(code === 0));
  });
}

function report(result: StepResult): void {
  const seconds = (result.durationMs / 1000).toFixed(1).padStart(5);
  console.log(`${result.ok ? 'ok    ' : 'FAILED'} ${result.step.name.padEnd(10)} ${seconds} s`);
  if (!result.ok) console.log(result.output.trimEnd().replace(/^/gm, '       '));
}

const waiting = [...steps];
const failed: string[] = [];

async function runWaitingSteps(): Promise<void> {
  for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
    const result = await runStep(step);
    report(result);
    if (!result.ok) failed.push(result.step.name);
  }
}

await Promise.all(Array.from({ length: stepsAtOnce }, runWaitingSteps));
if (failed.length > 0) {
  console.log(`check failed: ${failed.join(', ')}`);
  process.exitCode = 1;
} else {
  console.log('check passed');
}
