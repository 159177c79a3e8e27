// Checks of what a fleet takes from its host: Node, a port, a directory, room on the disk, names for sockets.

import { access, constants, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { fail, ok, warn, type Check } from './doctor-check.ts';

const oldestNode = [22, 18] as const;
const GiB = 1024 ** 3;
const scarceBytes = 5 * GiB;
const tooFewBytes = GiB / 4;
/** sun_path holds 108 bytes with its end; the longest name of a socket of ours is `model-control.sock`. */
const longestSocketPath = 107;
const longestSocketName = '/model-control.sock';
const longestRunDir = 80;

export function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isNewEnough = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  if (isNewEnough) return ok('node', `Node ${version}`);
  return fail(
    'node',
    `Node ${version} is older than ${oldestNode.join('.')}`,
    'install a newer one, or run npm ci, which brings one',
  );
}

/** `ownFleet`: where the fleet of the same data directory is, when one runs. */
export async function checkPort(
  { host, port }: { readonly host: string; readonly port: number },
  ownFleet: () => Promise<string | null>,
): Promise<Check> {
  if (port === 0) return ok('port', `a free port on ${host} is picked at the start`);
  const code = await tryListen(host, port);
  if (code === null) return ok('port', `port ${port} on ${host} is free`);
  if (code === 'EADDRINUSE') {
    const url = await ownFleet();
    if (url !== null && new URL(url).port === String(port)) return ok('port', `the fleet that runs has it: ${url}`);
    return fail('port', `port ${port} on ${host} is in use`, 'choose another with --port, or --port 0 for a free one');
  }
  return fail('port', `cannot listen on ${host}, port ${port} (${code})`, 'choose others with --host and --port');
}

async function tryListen(host: string, port: number): Promise<string | null> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

export async function checkDataDir(dataDir: string): Promise<Check> {
  const advice = 'give this user the right to write there, or choose another with --data-dir';
  const existing = await nearestExisting(dataDir);
  try {
    if (!(await stat(existing)).isDirectory()) return fail('data_dir', `${existing} is not a directory`, advice);
    if (existing !== dataDir) {
      await access(existing, constants.W_OK | constants.X_OK);
      return ok('data_dir', `${dataDir} will be made at the first start`);
    }
    const trial = path.join(dataDir, `.doctor-${process.pid}`);
    await writeFile(trial, 'x', { mode: 0o600, flag: 'wx' });
    await rm(trial);
    return ok('data_dir', `${dataDir} can be written`);
  } catch (error) {
    return fail('data_dir', `${dataDir} cannot be written (${codeOf(error)})`, advice);
  }
}

export async function checkDisk(dataDir: string): Promise<Check> {
  const { bavail, bsize, ffree, files } = await statfs(await nearestExisting(dataDir));
  const freeBytes = bavail * bsize;
  const free = `${(freeBytes / GiB).toFixed(1)} GiB free at ${dataDir}`;
  const advice = 'free space, or choose another place with --data-dir';
  if (freeBytes < tooFewBytes) return fail('disk', `${free}: too little for workspaces`, advice);
  if (files > 0 && ffree < 1000) return fail('disk', `only ${ffree} more files fit at ${dataDir}`, advice);
  return freeBytes < scarceBytes ? warn('disk', `only ${free}`, advice) : ok('disk', free);
}

export function checkSockets(dataDir: string, temporaryDir: string): Check {
  const inside = path.join(dataDir, 'run');
  if (Buffer.byteLength(inside) <= longestRunDir) return ok('sockets', `sockets are in ${inside}`);
  const beside = path.join(temporaryDir, 'codex-fleet-XXXXXX');
  if (Buffer.byteLength(beside + longestSocketName) <= longestSocketPath) {
    return ok('sockets', `${dataDir} is too long a name for sockets: they will be in ${temporaryDir}`);
  }
  return fail(
    'sockets',
    `neither ${dataDir} nor ${temporaryDir} is short enough for the name of a unix socket`,
    'choose a shorter --data-dir, or set TMPDIR',
  );
}

/** The directory itself, or the closest one above that there is. */
async function nearestExisting(directory: string): Promise<string> {
  let at = directory;
  while (at !== path.dirname(at)) {
    if ((await stat(at).catch(() => null)) !== null) return at;
    at = path.dirname(at);
  }
  return at;
}

function codeOf(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
}
