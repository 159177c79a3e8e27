// Where a session's files rest while no slot serves it, and how they move into and out of a slot:
// by rename on one file system, never by link (a link would let the agent write through). What comes
// out was in an agent's hands: nothing of it is followed, and what is missing is said.

import { chmod, lstat, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionKey } from '../contracts/worker-link.ts';
import { isDiskFull } from '../core/disk-full.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { isUuid } from '../core/ids.ts';
import { KeyOrder } from '../core/key-order.ts';
import type { SessionPlace } from '../snapshot/bound-session.ts';
import { removeTree } from './remove-tree.ts';

export type SlotPaths = { readonly ws: string; readonly home: string };

export type SeedFile = {
  /** Below Codex's home. */
  readonly relativePath: string;
  readonly content: string;
};

/** What rests, so that nobody goes on with files that another has written past. */
export type RestMark = {
  /** Of the writer that left them. */
  readonly epoch: number;
  /** The snapshot that they are equal to; null before the first. */
  readonly object: string | null;
  /** They hold more than that snapshot does. */
  readonly isDirty: boolean;
};

/** Runs the work; when it finds the disk full, runs it again on what is kept for that. */
export type Room = <T>(work: () => Promise<T>) => Promise<T>;

type Move = { readonly from: string; readonly to: string };

const privateDir = { recursive: true, mode: 0o700 } as const;
const markName = 'mark.json';
const partNames = ['ws', 'sessions'] as const;
/** Codex 0.169 makes these, empty, to mount something over them; one that is killed does not remove them. */
const mountPlaces = ['.agents', '.aws', '.codex', '.git'] as const;

/** Some of a session's files are where they came from, some where they went. */
export class FilesStuck extends ServiceError {
  constructor(cause: unknown) {
    super('session_failed', { problem: 'its files could not be moved' }, { cause });
    this.name = 'FilesStuck';
  }
}

export class SessionFiles {
  readonly #root: string;
  readonly #machine: string;
  readonly #room: Room;
  /**
   * Of one session: who lost it may still be filling its place when it is taken again by the same worker, after a
   * pause of the machine. Of two that filled it at once neither would be whole.
   */
  readonly #order = new KeyOrder();

  /**
   * `root` is on the same file system as the slots' directories. `machine` names this start of the
   * machine: files that were never synced mean nothing after another one.
   */
  constructor(root: string, machine: string, room: Room = (work) => work()) {
    this.#root = root;
    this.#machine = machine;
    this.#room = room;
  }

  /** Gives a new session its empty workspace and its first rollout; harmless when it has them. */
  create(key: SessionKey, seed: SeedFile, epoch: number): Promise<void> {
    return this.#order.run(this.#rest(key), () => this.#create(key, seed, epoch));
  }

  async #create(key: SessionKey, seed: SeedFile, epoch: number): Promise<void> {
    const rest = this.#rest(key);
    if (await exists(rest)) return;
    await this.#storing(() =>
      this.#fill(rest, { epoch, object: null, isDirty: false }, async (filling) => {
        const file = path.join(filling, seed.relativePath);
        await mkdir(path.join(filling, 'ws'), privateDir);
        await mkdir(path.dirname(file), privateDir);
        await writeFile(file, seed.content, { mode: 0o600, flag: 'wx' });
      }),
    );
  }

  /** Where the files are while no slot has them. The index is there at all times, out of every cage's sight. */
  restingPlace(key: SessionKey): SessionPlace {
    return placeIn(this.#rest(key), this.#indexOf(key));
  }

  /** Where they are while they are in the slot. */
  slotPlace(key: SessionKey, slot: SlotPaths): SessionPlace {
    return { ws: slot.ws, sessions: path.join(slot.home, 'sessions'), index: this.#indexOf(key) };
  }

  /** null when nothing whole rests. */
  async mark(key: SessionKey): Promise<(RestMark & { readonly isOfThisStart: boolean }) | null> {
    const rest = this.#rest(key);
    const text = await readFile(path.join(rest, markName), 'utf8').catch(() => null);
    if (text === null) return null;
    const { machine, ...mark } = JSON.parse(text) as RestMark & { readonly machine: string };
    const parts = await Promise.all(partNames.map((name) => isDirectory(path.join(rest, name))));
    return parts.every(Boolean) ? { ...mark, isOfThisStart: machine === this.#machine } : null;
  }

  async setMark(key: SessionKey, mark: RestMark): Promise<void> {
    const rest = this.#rest(key);
    const beside = path.join(rest, `${markName}.new`);
    await this.#storing(() => writeFile(beside, this.#markText(mark), { mode: 0o600 }));
    await rename(beside, path.join(rest, markName));
  }

  /** Replaces what rests by what `fill` puts into an empty place: whole or not at all. */
  replace(key: SessionKey, fill: (place: SessionPlace) => Promise<RestMark>): Promise<void> {
    return this.#order.run(this.#rest(key), () => this.#replace(key, fill));
  }

  async #replace(key: SessionKey, fill: (place: SessionPlace) => Promise<RestMark>): Promise<void> {
    const rest = this.#rest(key);
    const filling = `${rest}.filling`;
    await rm(this.#indexOf(key), { force: true });
    await removeTree(filling);
    await this.#storing(() => mkdir(filling, privateDir));
    const mark = await fill(placeIn(filling, this.#indexOf(key)));
    await this.#storing(() => writeFile(path.join(filling, markName), this.#markText(mark), { mode: 0o600 }));
    await removeTree(rest);
    await rename(filling, rest);
  }

  /**
   * Brings the session's files into a slot, or leaves them where they were. Rejects with `session_failed`
   * when there are none: never starts it afresh. FilesStuck: some of them are in the slot's directory.
   */
  moveIn(key: SessionKey, slot: SlotPaths): Promise<void> {
    return this.#order.run(this.#rest(key), () => this.#moveIn(key, slot));
  }

  async #moveIn(key: SessionKey, slot: SlotPaths): Promise<void> {
    const rest = this.#rest(key);
    const moves = partsOf(slot).map(({ name, dir }) => ({ from: path.join(rest, name), to: dir }));
    for (const { from } of moves) await assertDirectory(from);
    for (const { to } of moves) await removeTree(to);
    await renameAll(moves);
    // Empty by now; what cannot be removed is in nobody's way.
    await removeTree(rest).catch(() => undefined);
  }

  /** Takes the files out of a slot whose cage has ended: nothing writes to them any more. */
  moveOut(key: SessionKey, slot: SlotPaths, mark: RestMark): Promise<void> {
    return this.#order.run(this.#rest(key), () => this.#moveOut(key, slot, mark));
  }

  async #moveOut(key: SessionKey, slot: SlotPaths, mark: RestMark): Promise<void> {
    // The agent may have put a link where a directory was: following it would move files of the host.
    await assertDirectory(slot.home);
    const moveTo = async (filling: string): Promise<void> => {
      const moves = partsOf(slot).map(({ name, dir }) => ({ from: dir, to: path.join(filling, name) }));
      for (const { from } of moves) await prepareToMove(from);
      await renameAll(moves);
      await removeMountPlaces(path.join(filling, 'ws'));
    };
    await this.#fill(this.#rest(key), mark, moveTo).catch(async (error: unknown) => {
      if (!isServiceError(error, 'storage_full')) throw error;
      // What Codex kept for itself is room enough.
      await emptyBut(slot.home, 'sessions');
      await this.#fill(this.#rest(key), mark, moveTo);
    });
  }

  /**
   * After a crash: brings together what was in a slot, at rest, or between the two. false when there is
   * no whole session to be had; nothing is followed, and nothing that another session owns is touched.
   */
  async salvage(key: SessionKey, slot: SlotPaths, mark: RestMark): Promise<boolean> {
    const rest = this.#rest(key);
    const filling = `${rest}.filling`;
    await this.#storing(() => this.#writeMark(filling, mark));
    if (!(await isDirectory(slot.home))) return false;
    for (const { name, dir } of partsOf(slot)) {
      const to = path.join(filling, name);
      if (await exists(to)) continue;
      // A slot has empty directories of these names before anything is moved in: what rests is the session's.
      const from = (await isDirectory(path.join(rest, name))) ? path.join(rest, name) : dir;
      if (!(await isDirectory(from))) return false;
      await prepareToMove(from);
      await rename(from, to);
    }
    await removeMountPlaces(path.join(filling, 'ws'));
    await removeTree(rest);
    await rename(filling, rest);
    return true;
  }

  /** The sessions of which something rests, whole or not, in no order. */
  async *resting(): AsyncGenerator<SessionKey> {
    for (const name of await readdir(this.#root).catch(() => [])) {
      const sessions = await readdir(path.join(this.#root, name)).catch(() => []);
      const ids = new Set(sessions.map((entry) => entry.split('.')[0] ?? ''));
      for (const sessionId of ids) if (isUuid(sessionId)) yield { tenant: decodeURIComponent(name), sessionId };
    }
  }

  erase(key: SessionKey): Promise<void> {
    const rest = this.#rest(key);
    return this.#order.run(rest, async () => {
      await removeTree(rest);
      await removeTree(`${rest}.filling`);
      await rm(this.#indexOf(key), { force: true });
    });
  }

  // Filled beside its place and renamed into it, so that a resting place is whole or absent.
  async #fill(rest: string, mark: RestMark, fill: (filling: string) => Promise<void>): Promise<void> {
    const filling = `${rest}.filling`;
    await removeTree(filling);
    // First: when there is no room for it, everything still is where it was.
    await this.#storing(() => this.#writeMark(filling, mark));
    await fill(filling);
    // What an earlier move in could not remove.
    await removeTree(rest);
    await rename(filling, rest);
  }

  async #writeMark(filling: string, mark: RestMark): Promise<void> {
    await mkdir(filling, privateDir);
    await writeFile(path.join(filling, markName), this.#markText(mark), { mode: 0o600 });
  }

  /** The work may be run twice. Rejects with `storage_full` when the disk has no room for it. */
  #storing<T>(work: () => Promise<T>): Promise<T> {
    return this.#room(() => storing(work));
  }

  #markText(mark: RestMark): string {
    return JSON.stringify({ machine: this.#machine, ...mark });
  }

  // Tenant names come from the operator's configuration, session ids are UUIDs of ours.
  #rest(key: SessionKey): string {
    return path.join(this.#root, encodeURIComponent(key.tenant).replaceAll('.', '%2E'), key.sessionId);
  }

  #indexOf(key: SessionKey): string {
    return `${this.#rest(key)}.index`;
  }
}

function placeIn(dir: string, index: string): SessionPlace {
  return { ws: path.join(dir, 'ws'), sessions: path.join(dir, 'sessions'), index };
}

function partsOf(slot: SlotPaths): readonly { readonly name: string; readonly dir: string }[] {
  return [
    { name: 'ws', dir: slot.ws },
    { name: 'sessions', dir: path.join(slot.home, 'sessions') },
  ];
}

async function emptyBut(dir: string, kept: string): Promise<void> {
  for (const name of await readdir(dir)) if (name !== kept) await removeTree(path.join(dir, name));
}

/** Only where they are empty: nothing of the session's is lost with them. */
async function removeMountPlaces(ws: string): Promise<void> {
  for (const name of mountPlaces) await rmdir(path.join(ws, name)).catch(() => undefined);
}

/** To move a directory is to write to it; the agent may have forbidden that. */
async function prepareToMove(dir: string): Promise<void> {
  await assertDirectory(dir);
  await chmod(dir, 0o700);
}

/** All of them or none. */
async function renameAll(moves: readonly Move[]): Promise<void> {
  const done: Move[] = [];
  try {
    for (const move of moves) {
      await rename(move.from, move.to);
      done.push(move);
    }
  } catch (error) {
    for (const { from, to } of done.toReversed()) {
      await rename(to, from).catch((stuck: unknown) => {
        throw new FilesStuck(stuck);
      });
    }
    throw error;
  }
}

export async function storing<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isDiskFull(error)) throw new ServiceError('storage_full', {}, { cause: error });
    throw error;
  }
}

async function assertDirectory(dir: string): Promise<void> {
  const problem = await lstat(dir).then(
    (found) => (found.isDirectory() ? null : 'something else stands where its files were'),
    (error: unknown) => {
      if (isMissing(error)) return 'its files are gone';
      throw error;
    },
  );
  if (problem !== null) throw new ServiceError('session_failed', { problem });
}

async function isDirectory(dir: string): Promise<boolean> {
  return await lstat(dir).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function exists(file: string): Promise<boolean> {
  try {
    await lstat(file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
