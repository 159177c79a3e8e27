// Where a session's files rest while no slot serves it, and how they move into and out of a slot:
// by rename on one file system, never by link (a link would let the agent write through). What comes
// out was in an agent's hands: nothing of it is followed, and what is missing is said.

import { chmod, lstat, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import { removeTree } from './remove-tree.ts';

export type SlotPaths = { readonly ws: string; readonly home: string };

export type SeedFile = {
  /** Below Codex's home. */
  readonly relativePath: string;
  readonly content: string;
};

type Move = { readonly rest: string; readonly slot: string };

const privateDir = { recursive: true, mode: 0o700 } as const;

/** Some of a session's files are where they came from, some where they went. */
export class FilesStuck extends ServiceError {
  constructor(cause: unknown) {
    super('session_failed', { problem: 'its files could not be moved' }, { cause });
    this.name = 'FilesStuck';
  }
}

export class SessionFiles {
  readonly #root: string;

  /** `root` is on the same file system as the slots' directories. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Gives a new session its empty workspace and its first rollout; harmless when it has them. */
  async create(key: SessionKey, seed: SeedFile): Promise<void> {
    const rest = this.#restingPlace(key);
    if (await exists(rest)) return;
    try {
      await this.#fill(rest, async (filling) => {
        const file = path.join(filling, seed.relativePath);
        await mkdir(path.join(filling, 'ws'), privateDir);
        await mkdir(path.dirname(file), privateDir);
        await writeFile(file, seed.content, { mode: 0o600, flag: 'wx' });
      });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT') throw new ServiceError('storage_full', {}, { cause: error });
      throw error;
    }
  }

  /**
   * Brings the session's files into a slot, or leaves them where they were. Rejects with `session_failed`
   * when there are none: never starts it afresh. FilesStuck: some of them are in the slot's directory.
   */
  async moveIn(key: SessionKey, slot: SlotPaths): Promise<void> {
    const rest = this.#restingPlace(key);
    const moves = movesBetween(rest, slot);
    for (const move of moves) await assertDirectory(move.rest);
    for (const move of moves) await removeTree(move.slot);
    await renameAll(moves.map((move) => ({ from: move.rest, to: move.slot })));
    // Empty by now; what cannot be removed is in nobody's way.
    await removeTree(rest).catch(() => undefined);
  }

  /** Takes the files out of a slot whose cage has ended: nothing writes to them any more. */
  async moveOut(key: SessionKey, slot: SlotPaths): Promise<void> {
    // The agent may have put a link where a directory was: following it would move files of the host.
    await assertDirectory(slot.home);
    await this.#fill(this.#restingPlace(key), async (filling) => {
      const moves = movesBetween(filling, slot);
      for (const move of moves) {
        await assertDirectory(move.slot);
        // To move a directory is to write to it; the agent may have forbidden that.
        await chmod(move.slot, 0o700);
      }
      await renameAll(moves.map((move) => ({ from: move.slot, to: move.rest })));
    });
  }

  async erase(key: SessionKey): Promise<void> {
    const rest = this.#restingPlace(key);
    await removeTree(rest);
    await removeTree(`${rest}.filling`);
  }

  // Filled beside its place and renamed into it, so that a resting place is whole or absent.
  async #fill(rest: string, fill: (filling: string) => Promise<void>): Promise<void> {
    const filling = `${rest}.filling`;
    await removeTree(filling);
    await mkdir(filling, privateDir);
    await fill(filling);
    // What an earlier move in could not remove.
    await removeTree(rest);
    await rename(filling, rest);
  }

  // Tenant names come from the operator's configuration, session ids are UUIDs of ours.
  #restingPlace(key: SessionKey): string {
    return path.join(this.#root, encodeURIComponent(key.tenant).replaceAll('.', '%2E'), key.sessionId);
  }
}

function movesBetween(rest: string, slot: SlotPaths): readonly Move[] {
  return [
    { rest: path.join(rest, 'ws'), slot: slot.ws },
    { rest: path.join(rest, 'sessions'), slot: path.join(slot.home, 'sessions') },
  ];
}

/** All of them or none. */
async function renameAll(renames: readonly { readonly from: string; readonly to: string }[]): Promise<void> {
  const done: { readonly from: string; readonly to: string }[] = [];
  try {
    for (const one of renames) {
      await rename(one.from, one.to);
      done.push(one);
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
