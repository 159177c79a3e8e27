// Builds the images as deploy/docker/build.sh does, on a stand-in for their base, and the one more that the tests
// need: Redis. What was built from the same files is not built again.

import { createHash } from 'node:crypto';
import { globSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { cacheDir, mustRun, podman, run } from './container-tools.ts';

export type Images = {
  readonly base: string;
  readonly fleet: string;
  readonly worker: string;
  readonly redis: string;
};

const root = path.join(import.meta.dirname, '..', '..');
const buildTimeoutMs = 400_000;
/** Of a base that is months old the packages are, too. */
const baseLastsMs = 14 * 24 * 3_600_000;

export async function buildImages(): Promise<Images> {
  const age = Math.floor(Date.now() / baseLastsMs);
  const base = `localhost/fleet-base:${hashOf(['deploy/docker/stand-in-base.sh', 'package-lock.json'])}-${age}`;
  if (!(await exists(base)))
    await mustRun(['sh', 'deploy/docker/stand-in-base.sh', base], { timeoutMs: buildTimeoutMs });
  const tag = hashOf(
    [
      '.dockerignore',
      '.npmrc',
      'LICENSE',
      'package.json',
      'package-lock.json',
      'tsconfig*.json',
      'bin/*',
      'src/**/*.ts',
      'src/**/tsconfig.json',
      'src/**/*.json',
      'deploy/docker/*',
    ],
    base,
  );
  const images = { base, fleet: `localhost/codex-fleet:${tag}`, worker: `localhost/codex-fleet-worker:${tag}` };
  if (!(await exists(images.fleet)) || !(await exists(images.worker))) {
    const words = [
      'deploy/docker/build.sh',
      '-p',
      'localhost/',
      '-t',
      tag,
      '-o',
      listsDir,
      '-b',
      base,
      'worker',
      'fleet',
    ];
    const authority = process.env['NODE_EXTRA_CA_CERTS'];
    const env = { BUILDER: 'buildah', ...(authority === undefined ? {} : { CA: authority }) };
    await mustRun(['sh', ...words], { env, timeoutMs: buildTimeoutMs });
  }
  return { ...images, redis: await buildRedis(base) };
}

/** Where the lists of parts of the last build are. */
export const listsDir = path.join(cacheDir, 'lists');

async function buildRedis(base: string): Promise<string> {
  const image = `localhost/fleet-redis:${hashOf(['test/containers/redis.Dockerfile'], base)}`;
  if (!(await exists(image))) await buildOwn(image, 'test/containers/redis.Dockerfile', { BASE: base });
  return image;
}

/** From a Dockerfile that copies nothing of the checkout. */
export async function buildOwn(
  image: string,
  dockerfile: string,
  args: Readonly<Record<string, string>>,
): Promise<void> {
  const given = Object.entries(args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  const words = [
    'buildah',
    'bud',
    '--isolation',
    'chroot',
    '--format',
    'docker',
    ...given,
    '-t',
    image,
    '-f',
    dockerfile,
  ];
  await mustRun([...words, path.join(root, 'test', 'containers')], { timeoutMs: buildTimeoutMs });
}

/** Those of earlier files, and what was built on the way to them. */
export async function forgetOthers(images: Images): Promise<void> {
  const listed = await mustRun(podman('images', '--format', '{{.Repository}}:{{.Tag}}'));
  const kept: readonly string[] = Object.values(images);
  for (const image of listed.split('\n').filter((name) => name.startsWith('localhost/') && !kept.includes(name))) {
    await run(podman('rmi', '--force', image));
  }
  await run(podman('image', 'prune', '--force'));
}

async function exists(image: string): Promise<boolean> {
  return (await run(podman('image', 'exists', image))).code === 0;
}

function hashOf(patterns: readonly string[], ...words: readonly string[]): string {
  const hash = createHash('sha256').update(words.join('\n'));
  for (const file of globSync(patterns, { cwd: root }).sort()) {
    if (file.endsWith('.test.ts') || file.startsWith('src/testing/') || file.endsWith('.md')) continue;
    hash.update(`${file}\0`).update(readFileSync(path.join(root, file)));
  }
  return hash.digest('hex').slice(0, 16);
}

/** A place for one container's files, of the user that runs in it. */
export async function ownedDir(dir: string): Promise<string> {
  await mustRun(['install', '-d', '-m', '0700', '-o', '65532', '-g', '65532', dir]);
  return dir;
}

export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}
