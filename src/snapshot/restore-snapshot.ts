// Puts a session's files back as a snapshot has them, all of it verified. Where a snapshot is damaged, the
// newest earlier one that is whole is taken, and it is said which, and what was found damaged.

import { mkdir, open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import type { SessionKey } from '../contracts/worker-link.ts';
import { isDiskFull } from '../core/disk-full.ts';
import { ServiceError } from '../core/errors.ts';
import type { SnapshotRef } from '../core/session.ts';
import { type BoundSession, type SessionPlace, sessionName, treeIdOf } from './bound-session.ts';
import type { CaptureThread } from './capture-thread.ts';
import { Damaged, type Manifest, objectOf, parseObjectName, refOf } from './manifest.ts';
import { readAhead } from './read-ahead.ts';
import type { RolloutMark } from './rollout-file.ts';
import type { VerifiedObjects } from './verified-objects.ts';

export type Restored = {
  /** The snapshot that stands there now. */
  readonly ref: SnapshotRef;
  /** What was found damaged in newer ones. */
  readonly damaged: readonly { readonly object: string; readonly problem: string }[];
};

export type RestoreParts = { readonly objects: VerifiedObjects; readonly thread: CaptureThread };

const privateDir = { recursive: true, mode: 0o700 } as const;

/**
 * Rejects with `session_corrupt` when no snapshot is whole, with what the store rejects with, and with
 * `storage_full`; something may lie in the directories then.
 */
export async function restoreSnapshot(
  parts: RestoreParts,
  key: SessionKey,
  newest: SnapshotRef,
  into: SessionPlace,
  bound: BoundSession,
): Promise<Restored> {
  const damaged: { object: string; problem: string }[] = [];
  let first: Damaged | null = null;
  for await (const candidate of candidates(parts, key, newest)) {
    try {
      if (candidate instanceof Damaged) throw candidate;
      await restoreOne(parts, key, candidate.manifest, into, bound);
      return { ref: candidate.ref, damaged };
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      first ??= error;
      damaged.push({ object: error.object, problem: error.problem });
    }
  }
  throw new ServiceError('session_corrupt', { ...first?.details, damaged }, { cause: first });
}

type Candidate = { readonly ref: SnapshotRef; readonly manifest: Manifest };

/** The chain, newest first; what has no readable manifest is passed on as that. */
async function* candidates(
  { objects }: RestoreParts,
  key: SessionKey,
  newest: SnapshotRef,
): AsyncGenerator<Candidate | Damaged, void, void> {
  let chain: readonly SnapshotRef[] | null = null;
  try {
    const { manifest } = await objects.readManifest(key, newest.object, newest.sha256);
    chain = manifest.previous;
    yield { ref: newest, manifest };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    yield error;
  }
  if (chain === null) {
    yield* earlierObjects(objects, key, newest);
    return;
  }
  for (const ref of chain) {
    try {
      const { manifest } = await objects.readManifest(key, ref.object, ref.sha256);
      yield { ref, manifest };
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      yield error;
    }
  }
}

/** With the newest manifest the names of those before it are lost: what is stored says what there was. */
async function* earlierObjects(
  objects: VerifiedObjects,
  key: SessionKey,
  newest: SnapshotRef,
): AsyncGenerator<Candidate | Damaged, void, void> {
  const limit = parseObjectName(newest.object);
  const earlier = (await objects.store.list(key))
    .map(({ name }) => ({ name, parsed: parseObjectName(name) }))
    .filter(({ parsed }) => parsed !== null && parsed.manifestAt !== null && isEarlier(parsed, limit))
    .sort((left, right) => (right.parsed?.number ?? 0) - (left.parsed?.number ?? 0));
  for (const { name } of earlier) {
    try {
      const { manifest, sha256 } = await objects.readManifest(key, name, null);
      yield { ref: refOf(name, sha256, manifest), manifest };
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      yield error;
    }
  }
}

type Order = { readonly epoch: number; readonly number: number };

function isEarlier(one: Order, limit: Order | null): boolean {
  return limit !== null && one.number < limit.number && one.epoch <= limit.epoch;
}

async function restoreOne(
  parts: RestoreParts,
  key: SessionKey,
  manifest: Manifest,
  into: SessionPlace,
  bound: BoundSession,
): Promise<void> {
  const { objects, thread } = parts;
  for (const dir of [into.ws, into.sessions]) await makeEmpty(dir);
  bound.tree = null;
  bound.rollout = null;
  const restoreWorkspace = async (): Promise<void> => {
    await thread.run(
      { kind: 'restore', session: sessionName(key), workspace: into.ws, tree: await objects.tree(key, manifest) },
      {
        store: () => Promise.reject(new ServiceError('internal')),
        read: (pack, offset, length) => objects.store.read(key, objectOf(manifest, pack), { offset, length }),
        objectOf: (pack) => objectOf(manifest, pack),
      },
    );
  };
  const [rollout, workspace] = await Promise.allSettled([
    restoreRollout(objects, key, manifest, into),
    restoreWorkspace(),
  ]);
  if (rollout.status === 'rejected') throw rollout.reason;
  if (workspace.status === 'rejected') throw workspace.reason;
  bound.rollout = rollout.value;
  bound.tree = { generation: thread.generation, held: treeIdOf(manifest), captured: null };
}

async function makeEmpty(dir: string): Promise<void> {
  await mkdir(dir, privateDir);
  for (const name of await readdir(dir)) await rm(path.join(dir, name), { recursive: true, force: true });
}

async function restoreRollout(
  objects: VerifiedObjects,
  key: SessionKey,
  manifest: Manifest,
  into: SessionPlace,
): Promise<RolloutMark> {
  const { rollout } = manifest;
  const target = path.join(into.sessions, ...rollout.path.split('/').slice(1));
  await mkdir(path.dirname(target), privateDir);
  const hash = createHash('sha256');
  await using file = await opened(target);
  const parts = readAhead(
    rollout.parts,
    ({ length }) => length,
    (part) => objects.read(key, manifest, part, 'rollout'),
  );
  for await (const [, bytes] of parts) {
    hash.update(bytes);
    await file.handle.appendFile(bytes).catch((error: unknown) => {
      throw asStorageError(error);
    });
  }
  const sha256 = hash.copy().digest('hex');
  const { ino, size } = await file.handle.stat();
  const object = objectOf(manifest, rollout.parts[0]?.pack ?? -1);
  if (sha256 !== rollout.sha256) throw new Damaged('rollout', object, 'its hash does not match');
  return { inode: ino, bytes: size, sha256, hash };
}

async function opened(target: string): Promise<{ handle: Awaited<ReturnType<typeof open>> } & AsyncDisposable> {
  const handle = await open(target, 'wx', 0o600);
  return { handle, [Symbol.asyncDispose]: () => handle.close() };
}

function asStorageError(error: unknown): ServiceError {
  return new ServiceError(isDiskFull(error) ? 'storage_full' : 'store_unavailable', {}, { cause: error });
}
