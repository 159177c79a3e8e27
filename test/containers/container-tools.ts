// What building and running our images needs of this machine, and the one way in which its programs are called:
// on a storage of the tests' own, with what works where there is no systemd and no bridge.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const programs = ['buildah', 'debootstrap', 'podman', 'runc'] as const;

/** null where images can be built and run; else the reason for a skip, with how to get what is missing. */
export function missingContainers(): string | null {
  const missing = programs.filter((name) => !isInstalled(name));
  if (missing.length > 0) {
    return 'needs podman, buildah, runc and debootstrap (Debian: apt-get install podman buildah runc debootstrap)';
  }
  return process.getuid?.() === 0
    ? null
    : 'needs root: debootstrap and containers without user namespaces are for root';
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v -- "$0"', program], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
    return true;
  } catch {
    return false;
  }
}

/** Kept between runs: the base and the images, by what they were made of. */
export const cacheDir = process.env['CODEX_FLEET_INTERNAL_IMAGE_CACHE'] ?? path.join(tmpdir(), 'codex-fleet-images');

function environment(): NodeJS.ProcessEnv {
  mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
  const storage = path.join(cacheDir, 'storage.conf');
  if (!existsSync(storage)) {
    // Layers that are copies are right everywhere, and slow.
    const driver = /\boverlay\b/.test(readFileSync('/proc/filesystems', 'utf8')) ? 'overlay' : 'vfs';
    const lines = [
      '[storage]',
      `driver = "${driver}"`,
      `graphroot = "${cacheDir}/storage"`,
      `runroot = "${cacheDir}/run"`,
    ];
    writeFileSync(storage, `${lines.join('\n')}\n`);
  }
  const path_ = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
  return { ...process.env, CONTAINERS_STORAGE_CONF: storage, BUILDAH_ISOLATION: 'chroot', PATH: path_ };
}

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Never rejects for an exit code. */
export async function run(
  words: readonly string[],
  options: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Ran> {
  const [program = '', ...args] = words;
  return await new Promise((resolve, reject) => {
    const settings = {
      env: { ...environment(), ...options.env },
      timeout: options.timeoutMs ?? 60_000,
      maxBuffer: 64 * 1024 * 1024,
    };
    execFile(program, args, settings, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code !== 'number') reject(new Error(`${words.join(' ')}: ${error?.message ?? ''}\n${stderr}`));
      else resolve({ code, stdout, stderr });
    });
  });
}

export async function mustRun(words: readonly string[], options: Parameters<typeof run>[1] = {}): Promise<string> {
  const { code, stderr, stdout } = await run(words, options);
  if (code !== 0)
    throw new Error(`${words.join(' ')} ended with ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`);
  return stdout;
}

export function podman(...words: readonly string[]): string[] {
  return ['podman', '--cgroup-manager', 'cgroupfs', '--runtime', 'runc', ...words];
}
