// Where a session's files rest while no slot serves it, and how they move into and out of a slot:
// by rename on one file system, never by link (a link would let the agent write through).

import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';

export type SlotPaths = { readonly ws: string; readonly home: string };

export type SeedFile = {
  /** Below Codex's home. */
  readonly relativePath: string;
  readonly content: string;
};

const privateDir = { recursive: true, mode: 0o700 } as const;

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
    await this.#fill(rest, async (filling) => {
      const file = path.join(filling, seed.relativePath);
      await mkdir(path.join(filling, 'ws'), privateDir);
      await mkdir(path.dirname(file), privateDir);
      await writeFile(file, seed.content, { mode: 0o600, flag: 'wx' });
    });
  }

  /** Brings the session's files into a slot. Rejects with `session_failed` when there are none: never starts it afresh. */
  async moveIn(key: SessionKey, slot: SlotPaths): Promise<void> {
    const rest = this.#restingPlace(key);
    if (!(await exists(rest))) throw new ServiceError('session_failed', { problem: 'its files are gone' });
    await replaceDirectory(path.join(rest, 'ws'), slot.ws);
    await replaceDirectory(path.join(rest, 'sessions'), path.join(slot.home, 'sessions'));
    await rm(rest, { recursive: true, force: true });
  }

  /** Takes the files out of a slot whose cage has ended: nothing writes to them any more. */
  async moveOut(key: SessionKey, slot: SlotPaths): Promise<void> {
    await this.#fill(this.#restingPlace(key), async (filling) => {
      await rename(slot.ws, path.join(filling, 'ws'));
      await rename(path.join(slot.home, 'sessions'), path.join(filling, 'sessions'));
    });
  }

  async erase(key: SessionKey): Promise<void> {
    const rest = this.#restingPlace(key);
    await rm(rest, { recursive: true, force: true });
    await rm(`${rest}.filling`, { recursive: true, force: true });
  }

  // Filled beside its place and renamed into it, so that a resting place is whole or absent.
  async #fill(rest: string, fill: (filling: string) => Promise<void>): Promise<void> {
    const filling = `${rest}.filling`;
    await rm(filling, { recursive: true, force: true });
    await mkdir(filling, privateDir);
    await fill(filling);
    await rename(filling, rest);
  }

  // Tenant names come from the operator's configuration, session ids are UUIDs of ours.
  #restingPlace(key: SessionKey): string {
    return path.join(this.#root, encodeURIComponent(key.tenant).replaceAll('.', '%2E'), key.sessionId);
  }
}

async function replaceDirectory(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await rename(from, to);
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
