// Runs kubectl, the one tool that reads overlays and asks clusters. Nothing here changes a cluster.

import { spawn } from 'node:child_process';

export type KubectlAnswer = {
  /** null: ended by a signal, or out of time. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** Rejects with KubectlMissing where there is none to run. */
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

export const runKubectl: Kubectl = (args) =>
  new Promise((resolve, reject) => {
    const child = spawn('kubectl', [...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    const read = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let bytes = 0;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
        if (bytes <= mostBytes) read[name].push(chunk);
        else child.kill();
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'ENOENT' ? new KubectlMissing(error) : error),
    );
    child.once('close', (code) =>
      resolve({
        code,
        stdout: Buffer.concat(read.stdout).toString('utf8'),
        stderr: Buffer.concat(read.stderr).toString('utf8'),
      }),
    );
  });
