// Whose files are in which slot, written down beside the slots (never inside one: the agent could write
// it, too), so that a worker that starts after a crash finds the work that was under way.

import { readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { removeTree } from './remove-tree.ts';
import { type Room, type SessionFiles, storing } from './session-files.ts';

export type SlotClaim = { readonly key: SessionKey; readonly epoch: number };

type LeftSlot = { readonly claim: SlotClaim; readonly slotDir: string };
type WrittenClaim = SlotClaim & { readonly machine: string };

/** Longer than a watchdog waits for the worker's next sign of life. */
const agentsGonePatienceMs = 15_000;
const lookEveryMs = 50;

export class SlotClaims {
  readonly #dir: string;
  readonly #machine: string;
  readonly #room: Room;
  /** By session: what an earlier run left in a slot, and is still there. */
  readonly #left = new Map<string, LeftSlot>();

  /** `dir` is that of the slots; `machine` names this start of the machine. */
  constructor(dir: string, machine: string, room: Room = (work) => work()) {
    this.#dir = dir;
    this.#machine = machine;
    this.#room = room;
  }

  /** Rejects with `storage_full` when the disk has no room for it. */
  async write(slotDir: string, claim: SlotClaim): Promise<void> {
    const written: WrittenClaim = { ...claim, machine: this.#machine };
    const file = claimFile(slotDir);
    await this.#room(() => storing(() => writeFile(`${file}.new`, JSON.stringify(written), { mode: 0o600 })));
    await rename(`${file}.new`, file);
  }

  /** The files could not be taken out of the slot; whoever needs them fetches them. */
  leave(slotDir: string, claim: SlotClaim): void {
    this.#left.set(placeOf(claim.key), { claim, slotDir });
  }

  async remove(slotDir: string): Promise<void> {
    await rm(claimFile(slotDir), { force: true });
  }

  /**
   * Brings the files that an earlier run left in slots to where they rest, marked with the epoch of who
   * left them; removes all that is nobody's. Waits until no agent of that run lives: its watchdogs end them.
   * What cannot be had now stays where it is, for `fetchLeft`.
   */
  async salvage(files: SessionFiles, clock: Clock, logger: Logger): Promise<void> {
    const names = await readdir(this.#dir).catch((): string[] => []);
    for (const name of names.filter((one) => one.endsWith('.json'))) {
      const claim = await this.#read(name);
      if (claim === null) continue;
      const left = { claim, slotDir: path.join(this.#dir, name.slice(0, -'.json'.length)) };
      this.#left.set(placeOf(claim.key), left);
    }
    await agentsGone([...this.#left.values()].map(slotIdOf), clock);
    for (const { claim } of [...this.#left.values()]) {
      const { key } = claim;
      try {
        const problem = await this.fetchLeft(key, files);
        const facts = { session_id: key.sessionId, problem };
        logger.info({ event: 'slot_salvaged', ...facts }, 'files of a lost slot were taken up again');
      } catch (error) {
        const facts = { session_id: key.sessionId, err: error };
        logger.error({ event: 'slot_not_salvaged', ...facts }, 'files of a lost slot stay where they are for now');
      }
    }
    const kept = new Set([...this.#left.values()].flatMap(({ slotDir }) => [slotDir, claimFile(slotDir)]));
    for (const name of names) {
      const file = path.join(this.#dir, name);
      if (!kept.has(file)) await removeTree(file);
    }
  }

  /**
   * What could not be brought home before for this session. Answers why it was lost, or null; rejects while
   * it is still to be had and cannot be yet.
   */
  async fetchLeft(key: SessionKey, files: SessionFiles): Promise<string | null> {
    const left = this.#left.get(placeOf(key));
    if (left === undefined) return null;
    if (await someoneUses([slotIdOf(left)]))
      throw new ServiceError('store_unavailable', {}, { message: 'an agent of a lost worker still has the session' });
    const { claim, slotDir } = left;
    const slot = { ws: path.join(slotDir, 'ws'), home: path.join(slotDir, 'home') };
    const isWhole = await files.salvage(key, slot, { epoch: claim.epoch, object: null, isDirty: true });
    this.#left.delete(placeOf(key));
    await this.remove(slotDir);
    await removeTree(slotDir);
    return isWhole ? null : 'they were not whole';
  }

  async #read(name: string): Promise<SlotClaim | null> {
    try {
      const text = await readFile(path.join(this.#dir, name), 'utf8');
      const { machine, ...claim } = JSON.parse(text) as WrittenClaim;
      return machine === this.#machine ? claim : null;
    } catch {
      return null;
    }
  }
}

export function claimOf({ epoch, id, tenant }: SessionRecord): SlotClaim {
  return { key: { tenant, sessionId: id }, epoch };
}

function placeOf({ sessionId, tenant }: SessionKey): string {
  return `${tenant}/${sessionId}`;
}

function slotIdOf({ slotDir }: LeftSlot): string {
  return path.basename(slotDir);
}

function claimFile(slotDir: string): string {
  return `${slotDir}.json`;
}

async function agentsGone(slotIds: readonly string[], clock: Clock): Promise<boolean> {
  const giveUpAtMs = clock.monotonicMs() + agentsGonePatienceMs;
  while (await someoneUses(slotIds)) {
    if (clock.monotonicMs() >= giveUpAtMs) return false;
    await new Promise<void>((resolve) => clock.after(lookEveryMs, resolve));
  }
  return true;
}

/** A caged agent has its slot mounted, an uncaged one works in it. Slot ids are UUIDs: nothing else has their names. */
async function someoneUses(slotIds: readonly string[]): Promise<boolean> {
  for (const pid of await readdir('/proc').catch((): string[] => [])) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const [mounts, cwd] = await Promise.all([
      readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => ''),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ]);
    if (slotIds.some((id) => mounts.includes(id) || cwd.includes(id))) return true;
  }
  return false;
}
