// Files at rest, spoilt as disks and crashes spoil them, and whether what a client was then told is honest.

import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { EventOnWire } from '../../src/api/events.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';

export const damageKinds = ['truncated', 'flipped', 'emptied'] as const;
export type DamageKind = (typeof damageKinds)[number];

const pageBytes = 4096;

/** All files below the directory whose path in it matches. */
export function filesBelow(directory: string, pattern: RegExp): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => pattern.test(file) && statSync(path.join(directory, file)).isFile())
    .map((file) => path.join(directory, file))
    .sort();
}

export function damage(file: string, kind: DamageKind, random: SeededRandom): void {
  const bytes = readFileSync(file);
  switch (kind) {
    case 'emptied':
      truncateSync(file, 0);
      return;
    case 'truncated':
      truncateSync(file, Math.floor(bytes.length * (0.2 + 0.6 * random.next())));
      return;
    case 'flipped': {
      const at = random.between(0, Math.max(0, bytes.length - 1));
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.between(0, 7));
      writeFileSync(file, bytes);
    }
  }
}

/** Of a session's snapshots: their names begin with epoch and number. */
export function newestOf(objects: readonly string[]): string {
  const numberOf = (file: string): number => Number(path.basename(file).split('.')[1]);
  const newest = objects.toSorted((left, right) => numberOf(left) - numberOf(right)).at(-1);
  if (newest === undefined) throw new Error('there are no snapshots');
  return newest;
}

export function removeAll(directory: string): void {
  rmSync(directory, { recursive: true });
}

/** Noise instead of one page of a database: not the first, without which it is none. Answers which. */
export function damagePage(file: string, random: SeededRandom): number {
  const bytes = readFileSync(file);
  const page = random.between(1, Math.max(1, Math.floor(bytes.length / pageBytes) - 1));
  for (let at = page * pageBytes; at < Math.min(bytes.length, (page + 1) * pageBytes); at += 1) {
    bytes[at] = random.between(0, 255);
  }
  writeFileSync(file, bytes);
  return page;
}

/** What came of a turn that was asked for after the damage. */
export type AfterDamage =
  | { readonly kind: 'start refused'; readonly said: string }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  | {
      readonly kind: 'ended';
      readonly status: string;
      readonly code: string | null;
      /** Of the turns before, those that the model was not shown. */
      readonly forgotten: readonly string[];
      /** Of those files that were written before, the ones that are not there. */
      readonly lostFiles: readonly string[];
      /** Appended since the damage. */
      readonly events: readonly EventOnWire[];
    };

const honestCodes: ReadonlySet<string> = new Set([
  'session_corrupt',
  'store_corrupt',
  'session_failed',
  'session_not_found',
]);
const saysSo = /corrupt|damage|malformed|restored|not a database/i;

/** null when it is honest: nothing was lost, or it was said. */
export function dishonesty(after: AfterDamage): string | null {
  switch (after.kind) {
    case 'start refused':
      return saysSo.test(after.said) ? null : `it does not start, and does not say why: ${after.said.slice(-500)}`;
    case 'refused':
      return honestCodes.has(after.code) ? null : `it was refused with ${after.status} ${after.code}`;
    case 'ended': {
      if (after.status !== 'completed') {
        return honestCodes.has(after.code ?? '') ? null : `it ended ${after.status} with ${after.code}`;
      }
      const isLost = after.forgotten.length + after.lostFiles.length > 0;
      const isSaid = after.events.some(
        (event) => /^(session\.|warning$)/.test(event.type) && saysSo.test(JSON.stringify(event)),
      );
      return isLost && !isSaid
        ? `silent amnesia: a plain completed without ${[...after.forgotten, ...after.lostFiles].join(', ')}`
        : null;
    }
  }
}
