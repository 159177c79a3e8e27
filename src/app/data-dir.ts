// The data directory of an embedded fleet: who owns it, its access token, its place for sockets, and
// how another process finds the fleet that runs on it.

import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { storing } from '../adapters/files/file-errors.ts';
import { isServiceError } from '../core/errors.ts';
import type { TokenEntry } from '../http/bearer.ts';
import { giveUpReserve } from './disk-reserve.ts';

export type DataDir = {
  readonly path: string;
  /** The bearer token of the tenant `default`, made on the first start. */
  readonly token: string;
  /** Secret for ids derived from an Idempotency-Key; as lasting as the directory. */
  readonly idempotencySecret: Buffer;
  /** For unix sockets: private, and short enough for their length limit. */
  readonly runDir: string;
  /** Rejects with `storage_full` when the disk has no room for it. */
  readonly announce: (url: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

export class DataDirInUse extends Error {
  readonly ownerPid: number | null;

  constructor(directory: string, ownerPid: number | null) {
    const owner = ownerPid === null ? 'another process' : `process ${ownerPid}`;
    super(`the data directory ${directory} is in use by ${owner}`);
    this.name = 'DataDirInUse';
    this.ownerPid = ownerPid;
  }
}

export class ForeignDataDir extends Error {
  constructor(directory: string) {
    super(`the directory ${directory} holds files that are not a fleet's`);
    this.name = 'ForeignDataDir';
  }
}

export type Owner = { readonly pid: number; readonly url: string | null };

/** sun_path holds 108 bytes with its end; our longest socket name is about 20. */
const longestRunDir = 80;

export async function openDataDir(directory: string): Promise<DataDir> {
  await makeOurs(directory);
  const release = await acquireLock(directory);
  try {
    // The reserve is for whoever starts on a full disk, too.
    await storing(writeOwner(directory, { pid: process.pid, url: null })).catch(async (error: unknown) => {
      if (!isServiceError(error, 'storage_full')) throw error;
      await giveUpReserve(directory);
      await storing(writeOwner(directory, { pid: process.pid, url: null }));
    });
    const secrets = await callersSecrets(directory);
    const runDir = await makeRunDir(directory);
    return {
      path: directory,
      ...secrets,
      runDir,
      announce: (url) => storing(writeOwner(directory, { pid: process.pid, url })),
      close: async () => {
        await rm(runDir, { recursive: true, force: true });
        await rm(ownerFile(directory), { force: true });
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

export type CallersSecrets = Pick<DataDir, 'token' | 'idempotencySecret'>;

export async function callersSecrets(directory: string): Promise<CallersSecrets> {
  const token = await secretFile(path.join(directory, 'token'), () => `cf_${randomBytes(32).toString('base64url')}`);
  const idempotency = await secretFile(path.join(directory, 'idempotency-secret'), randomSecret);
  return { token, idempotencySecret: Buffer.from(idempotency, 'hex') };
}

export function randomSecret(): string {
  return randomBytes(32).toString('hex');
}

/** Made, or found and a fleet's; closed to other users. */
export async function makeOurs(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await assertOurs(directory);
  await chmod(directory, 0o700);
}

/** We close the directory to others and remove what earlier runs left: not with `/tmp` or somebody's home. */
async function assertOurs(directory: string): Promise<void> {
  const found = await readdir(directory);
  const isForeign = found.some((name) => name !== 'config.toml' && name !== 'lost+found');
  if (isForeign && !found.includes('lock.db')) throw new ForeignDataDir(directory);
}

/** Whom the directory's token stands for: the tenant of a fleet that has no others. */
export function tokenOfDataDir({ token }: Pick<DataDir, 'token'>): TokenEntry {
  return { tokenSha256: createHash('sha256').update(token).digest('hex'), tenant: 'default', name: 'data-dir' };
}

/** The fleet that runs on the data directory now; null when none does. */
export async function discoverFleet(directory: string): Promise<{ url: string; token: string } | null> {
  const owner = await readOwner(directory);
  if (owner === null || owner.url === null || !isLocked(directory)) return null;
  const token = await readFile(path.join(directory, 'token'), 'utf8').catch(() => null);
  return token === null ? null : { url: owner.url, token: token.trim() };
}

// A lock of the kernel's, through SQLite: it ends with the process, however that ends, and cannot be
// taken twice by a race of two starts. A file with a pid in it can do neither.
export async function acquireLock(directory: string, kind: LockKind = 'exclusive'): Promise<() => void> {
  const held = tryLock(directory, kind);
  if (held === null) throw new DataDirInUse(directory, (await readOwner(directory))?.pid ?? null);
  return () => held.close();
}

function isLocked(directory: string): boolean {
  const held = tryLock(directory);
  held?.close();
  return held === null;
}

/** shared: with others that take it so; none of them while somebody has it for itself. */
export type LockKind = 'exclusive' | 'shared';

function tryLock(directory: string, kind: LockKind = 'exclusive'): DatabaseSync | null {
  const database = new DatabaseSync(path.join(directory, 'lock.db'));
  try {
    // Its journal is nothing to keep, and a full disk has no room for one.
    database.exec('PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY');
    // A transaction that has read keeps the lock of readers until it ends.
    database.exec(kind === 'exclusive' ? 'BEGIN EXCLUSIVE' : 'BEGIN; SELECT count(*) FROM sqlite_master');
    return database;
  } catch (error) {
    database.close();
    const { errcode } = error as { errcode?: number };
    const sqliteBusy = 5;
    if (errcode === sqliteBusy) return null;
    throw error;
  }
}

export const ownerFile = (directory: string): string => path.join(directory, 'owner.json');

export async function writeOwner(directory: string, owner: Owner): Promise<void> {
  const beside = `${ownerFile(directory)}.${owner.pid}.new`;
  await writeFile(beside, JSON.stringify(owner), { mode: 0o600 });
  await rename(beside, ownerFile(directory));
}

export async function readOwner(directory: string): Promise<Owner | null> {
  try {
    const value = JSON.parse(await readFile(ownerFile(directory), 'utf8')) as Partial<Owner>;
    return typeof value.pid === 'number'
      ? { pid: value.pid, url: typeof value.url === 'string' ? value.url : null }
      : null;
  } catch {
    return null;
  }
}

/** Of several that start at once, one makes it, and it is whole for all. */
export async function secretFile(file: string, make: () => string): Promise<string> {
  if (!existsSync(file)) {
    const beside = `${file}.${process.pid}.new`;
    await writeFile(beside, `${make()}\n`, { mode: 0o600 });
    await link(beside, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await rm(beside, { force: true });
  }
  await chmod(file, 0o600);
  const text = (await readFile(file, 'utf8')).trim();
  if (text.length < 32) throw new Error(`${file} holds no usable secret; remove it to have a new one made`);
  return text;
}

async function makeRunDir(directory: string): Promise<string> {
  const inside = path.join(directory, 'run');
  await rm(inside, { recursive: true, force: true });
  if (Buffer.byteLength(inside) > longestRunDir) return await mkdtemp(path.join(tmpdir(), 'codex-fleet-'));
  await mkdir(inside, { recursive: true, mode: 0o700 });
  return inside;
}
