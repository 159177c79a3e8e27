// Runs kubectl, the one tool that reads overlays and asks clusters. Nothing here changes a cluster.

import { spawn } from 'node:child_process';

export type KubectlAnswer = {
  /** null: ended by a signal, or out of time. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** Rejects with KubectlMissing where there is none to run. Where there is no code, `stderr` says why. */
export type Kubectl = (args: readonly string[]) => Promise<KubectlAnswer>;

export class KubectlMissing extends Error {
  constructor(cause: unknown) {
    super('kubectl is not on the PATH: see https://kubernetes.io/docs/tasks/tools/', { cause });
    this.name = 'KubectlMissing';
  }
}

const timeoutMs = 60_000;
/** Of an answer: an overlay is some tens of kB, all pods of a large fleet are a few MB. */
const mostBytes = 64 * 1024 * 1024;

export const runKubectl: Kubectl = (args) => runWithin(args, timeoutMs);

/** As `runKubectl`, for another time. */
export const runWithin = (args: readonly string[], limitMs: number): Promise<KubectlAnswer> =>
  new Promise((resolve, reject) => {
    const child = spawn('kubectl', [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const read = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let bytes = 0;
    // What it has started, to sign in or to fetch, may hold its output open, and is not waited for.
    const giveUp = (why: string): void => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ code: null, stdout: '', stderr: why });
    };
    const timer = setTimeout(() => giveUp(`kubectl did not end within ${limitMs / 1000} s`), limitMs);
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes <= mostBytes) read[name].push(chunk);
        else giveUp(`kubectl printed more than ${mostBytes} bytes`);
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(error.code === 'ENOENT' ? new KubectlMissing(error) : error);
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({
        code,
        stdout: Buffer.concat(read.stdout).toString('utf8'),
        stderr: Buffer.concat(read.stderr).toString('utf8'),
      });
    });
  });
