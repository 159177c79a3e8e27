// One container, run as a restricted pod's would be: an ordinary user, a read-only root, no capability, no new
// privileges, a seccomp profile; /tmp and /data are all that can be written.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { mustRun, podman, run, type Ran } from './container-tools.ts';
import { ownedDir, removeDir } from './images.ts';

/** runtime-default: as Kubernetes' RuntimeDefault. own-kernel: namespaces allowed, as in a gVisor pod. */
export type Profile = 'runtime-default' | 'own-kernel';

export type ContainerOptions = {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Of the host, at /data; of the user 65532. */
  readonly dataDir: string;
  readonly profile: Profile;
  readonly memory?: string;
};

export class Container {
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async start(options: ContainerOptions): Promise<Container> {
    const { args, env = {}, image, name } = options;
    const environment = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    await mustRun(podman('run', '--detach', '--name', name, ...confinement(options), ...environment, image, ...args));
    return new Container(name);
  }

  async exec(...words: readonly string[]): Promise<Ran> {
    return await run(podman('exec', this.name, ...words));
  }

  async logs(): Promise<string> {
    const { stderr, stdout } = await run(podman('logs', this.name));
    return stdout + stderr;
  }

  /** Of the root, since the container was made. */
  async changedPaths(): Promise<readonly string[]> {
    const lines = (await mustRun(podman('diff', this.name))).split('\n');
    return lines.filter((line) => line !== '').map((line) => line.slice(2));
  }

  async isRunning(): Promise<boolean> {
    return (await run(podman('inspect', '--format', '{{.State.Running}}', this.name))).stdout.trim() === 'true';
  }

  async exitCode(): Promise<number> {
    return Number((await mustRun(podman('inspect', '--format', '{{.State.ExitCode}}', this.name))).trim());
  }

  /** Once more what has ended, with the directories that it had: as Kubernetes does with a container of a pod. */
  async startAgain(): Promise<void> {
    await mustRun(podman('start', this.name));
  }

  /** SIGTERM, and SIGKILL after the grace; how long it took. */
  async stop(graceS: number): Promise<{ readonly tookMs: number; readonly code: number }> {
    const startedMs = performance.now();
    await mustRun(podman('stop', '--time', String(graceS), this.name), { timeoutMs: (graceS + 30) * 1000 });
    return { tookMs: performance.now() - startedMs, code: await this.exitCode() };
  }

  /** At once and for good, as a node that is lost takes its pods with it. */
  async remove(): Promise<void> {
    await run(podman('rm', '--force', '--time', '0', this.name));
  }
}

/** Runs a command of the image to its end, on an empty /data. */
export async function runOnce(
  options: Omit<ContainerOptions, 'dataDir' | 'name'> & { readonly entrypoint?: string },
): Promise<Ran> {
  const { args, entrypoint, env = {}, image } = options;
  const dataDir = await ownedDir(mkdtempSync(path.join(tmpdir(), 'fleet-container-')));
  const entry = entrypoint === undefined ? [] : ['--entrypoint', entrypoint];
  const environment = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
  try {
    return await run(
      podman('run', '--rm', ...confinement({ ...options, dataDir }), ...environment, ...entry, image, ...args),
    );
  } finally {
    removeDir(dataDir);
  }
}

function confinement({ dataDir, memory, profile }: Pick<ContainerOptions, 'dataDir' | 'memory' | 'profile'>): string[] {
  return [
    ...['--network', 'host', '--no-healthcheck', '--pull', 'never'],
    ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1000:1000'],
    ...['--read-only', '--read-only-tmpfs=false', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
    ...['--security-opt', `seccomp=${path.join(import.meta.dirname, `${profile}.json`)}`],
    // A /proc of one's own can be mounted only where none of it is covered, as in a kernel of one's own.
    ...(profile === 'own-kernel' ? ['--security-opt', 'unmask=ALL'] : []),
    ...['--tmpfs', '/tmp:rw,nosuid,nodev,mode=1777,size=256m'],
    ...['--volume', `${dataDir}:/data:rw`],
    ...(memory === undefined ? [] : ['--memory', memory, '--memory-swap', memory]),
  ];
}
