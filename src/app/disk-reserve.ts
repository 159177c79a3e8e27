// Room on the disk that is given up when it is full, so that what runs can still be brought to its end
// and recorded. While it is given up no new turn is taken; it is made again when there is space.

import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { isServiceError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';

const KiB = 1024;
const mostBytes = 8 * KiB * KiB;
/** A start tries Codex in a new home, which takes 0.7 MB of it (measured with 0.169.0). */
const fewestBytes = KiB * KiB;
const shareOfFree = 0.05;
/** With less than this Codex can't be started, nor much be recorded: the reserve is for that moment, too. */
const tooLittleBytes = KiB * KiB;
/** Space is back when this many reserves fit: one is taken then, and the rest is for turns. */
const reservesToGoOn = 3;
const checkEveryMs = 2_000;
const pieceBytes = 1024 * KiB;

export type DiskReserveParts = {
  /** On the disk that may become full; the file `reserve` in it is ours. */
  readonly dir: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

export class DiskReserve {
  readonly #parts: DiskReserveParts;
  readonly #file: string;
  readonly #bytes: number;
  #isLow = false;
  #releasing: Promise<void> | null = null;
  #cancelCheck: () => void = () => {};
  #checking: Promise<void> = Promise.resolve();
  #isClosed = false;
  #onFull: () => void = () => {};

  private constructor(parts: DiskReserveParts, bytes: number) {
    this.#parts = parts;
    this.#file = fileIn(parts.dir);
    this.#bytes = bytes;
  }

  /** Before the stores are opened: on a full disk they could not be, without what this gives back. */
  static async open(parts: DiskReserveParts): Promise<DiskReserve> {
    const freeBytes = await freeBytesAt(parts.dir);
    const heldBytes = await sizeOf(fileIn(parts.dir));
    const share = Math.floor((freeBytes + heldBytes) * shareOfFree);
    const reserve = new DiskReserve(parts, Math.min(mostBytes, Math.max(fewestBytes, share)));
    if (freeBytes < tooLittleBytes) await reserve.release();
    // What is missing was given up by whoever found the disk full: it is made again when there is space beside it.
    else if (heldBytes < reserve.#bytes && !(await reserve.#makeBesideSpace())) await reserve.release();
    reserve.#checkLater();
    return reserve;
  }

  /** The reserve is given up: what is not yet begun must not be. */
  get isLow(): boolean {
    return this.#isLow;
  }

  /**
   * Runs the work; when it finds the disk full, gives up the reserve and runs it once more. For work that
   * wrote nothing when it rejects with `storage_full`, and that ends something rather than begins it.
   */
  async guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isServiceError(error, 'storage_full')) throw error;
      await this.release();
      return work();
    }
  }

  /** Called each time the reserve is given up. */
  whenFull(onFull: () => void): void {
    this.#onFull = onFull;
  }

  /** After a failure that does not say why; gives up the reserve if that was it. */
  async isDiskFull(): Promise<boolean> {
    const isFull = await freeBytesAt(this.#parts.dir).then(
      (bytes) => bytes < tooLittleBytes,
      () => false,
    );
    if (isFull) await this.release();
    return isFull || this.#isLow;
  }

  /** As `guard`, without the second run. */
  async watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (isServiceError(error, 'storage_full')) await this.release();
      throw error;
    }
  }

  /** Harmless when it is given up already. */
  release(): Promise<void> {
    if (this.#isLow) return this.#releasing ?? Promise.resolve();
    this.#isLow = true;
    this.#onFull();
    this.#releasing = this.#release().finally(() => {
      this.#releasing = null;
    });
    return this.#releasing;
  }

  /** The file stays, for the next run to find its disk with room. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelCheck();
    await Promise.all([this.#releasing, this.#checking]);
  }

  async #release(): Promise<void> {
    const { logger } = this.#parts;
    try {
      await giveUpReserve(this.#parts.dir);
      logger.error(
        { event: 'disk_full', reserve_bytes: this.#bytes },
        'the disk is full: no new turns are taken until there is space',
      );
    } catch (error) {
      logger.error({ event: 'disk_reserve_stuck', err: error }, 'the disk is full, and its reserve cannot be removed');
    }
  }

  #checkLater(): void {
    if (this.#isClosed) return;
    this.#cancelCheck = this.#parts.clock.after(checkEveryMs, () => {
      this.#checking = this.#check();
    });
  }

  async #check(): Promise<void> {
    // Agents write without us: they hang when they cannot, and say nothing.
    if (!this.#isLow) await this.isDiskFull();
    else if (await this.#makeBesideSpace()) {
      this.#isLow = false;
      this.#parts.logger.info({ event: 'disk_space_back' }, 'the disk has space again: turns are taken');
    }
    this.#checkLater();
  }

  async #makeBesideSpace(): Promise<boolean> {
    return (await this.#hasSpace()) && (await this.#make());
  }

  async #hasSpace(): Promise<boolean> {
    try {
      return (await freeBytesAt(this.#parts.dir)) >= reservesToGoOn * this.#bytes;
    } catch {
      return false;
    }
  }

  /** false when it does not fit. Octets that no file system can squeeze: a file of zeros may take no room. */
  async #make(): Promise<boolean> {
    const unfinished = `${this.#file}.new`;
    try {
      const handle = await open(unfinished, 'w', 0o600);
      try {
        for (let left = this.#bytes; left > 0; left -= pieceBytes) {
          await handle.writeFile(randomBytes(Math.min(left, pieceBytes)));
        }
      } finally {
        await handle.close();
      }
      await rename(unfinished, this.#file);
      return true;
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => undefined);
      this.#parts.logger.debug({ event: 'disk_reserve_not_made', err: error }, 'the reserve could not be made');
      return false;
    }
  }
}

/** For who owns the directory and cannot start without it. */
export async function giveUpReserve(dir: string): Promise<void> {
  await rm(fileIn(dir), { force: true });
}

export async function freeBytesAt(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

function fileIn(dir: string): string {
  return path.join(dir, 'reserve');
}

/** 0 for none. */
async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch(() => null);
  return found?.size ?? 0;
}
