// Whose files are in which slot, written down beside the slots (never inside one: the agent could write
// it, too), so that a worker that starts after a crash finds the work that was under way.

import { readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { removeTree } from './remove-tree.ts';
import type { SessionFiles } from './session-files.ts';

export type SlotClaim = { readonly key: SessionKey; readonly epoch: number };

type WrittenClaim = SlotClaim & { readonly machine: string };

/** Longer than a watchdog waits for the worker's next sign of life. */
const agentsGonePatienceMs = 15_000;
const lookEveryMs = 50;

export class SlotClaims {
  readonly #dir: string;
  readonly #machine: string;

  /** `dir` is that of the slots; `machine` names this start of the machine. */
  constructor(dir: string, machine: string) {
    this.#dir = dir;
    this.#machine = machine;
  }

  async write(slotDir: string, claim: SlotClaim): Promise<void> {
    const written: WrittenClaim = { ...claim, machine: this.#machine };
    const file = claimFile(slotDir);
    await writeFile(`${file}.new`, JSON.stringify(written), { mode: 0o600 });
    await rename(`${file}.new`, file);
  }

  async remove(slotDir: string): Promise<void> {
    await rm(claimFile(slotDir), { force: true });
  }

  /**
   * Brings the files that an earlier run left in slots to where they rest, marked with the epoch of who
   * left them; removes all that is nobody's. Waits until no agent of that run lives: its watchdogs end them.
   */
  async salvage(files: SessionFiles, clock: Clock, logger: Logger): Promise<void> {
    const names = await readdir(this.#dir).catch((): string[] => []);
    const claimed = names.filter((name) => name.endsWith('.json'));
    const slotIds = claimed.map((name) => name.slice(0, -'.json'.length));
    const areGone = claimed.length === 0 || (await agentsGone(slotIds, clock));
    if (!areGone) logger.error({ event: 'agents_outlived_worker' }, 'agents of an earlier run still live');
    for (const name of areGone ? claimed : []) {
      const slotDir = path.join(this.#dir, name.slice(0, -'.json'.length));
      const claim = await this.#read(name);
      if (claim === null) continue;
      const { epoch, key } = claim;
      const mark = { epoch, object: null, isDirty: true };
      const slot = { ws: path.join(slotDir, 'ws'), home: path.join(slotDir, 'home') };
      const isWhole = await files.salvage(key, slot, mark).catch((error: unknown) => {
        logger.warn({ event: 'slot_not_salvaged', session_id: key.sessionId, err: error }, 'files were left in a slot');
        return false;
      });
      logger.info({ event: 'slot_salvaged', session_id: key.sessionId, whole: isWhole }, 'files of a lost slot');
    }
    await removeTree(this.#dir);
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
