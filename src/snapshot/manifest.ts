// The manifest: what a snapshot consists of, where each piece lies, and its hash. It stands at the end of
// the last object of its snapshot. Frozen: later versions of this program read what we write.

import { hash, randomBytes } from 'node:crypto';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { Skipped } from '../workspace/walk.ts';

export const formatVersion = 1;

/** Bytes in an object. */
export type Extent = {
  /** The number that `packs` gives the object. */
  readonly pack: number;
  readonly offset: number;
  readonly length: number;
  /** Of these bytes, hexadecimal. */
  readonly sha256: string;
};

export type RolloutPart = Extent & { readonly level: number };
/** Compressed lines of JSON, a stored event each; `first` and `last` are seqs. */
export type EventSegment = Extent & { readonly level: number; readonly first: number; readonly last: number };
/** Compressed lines of tree.ts. The first of a chain is a whole tree, the others change it. */
export type TreePart = Extent & { readonly entries: number };

export type PackEntry = {
  readonly id: number;
  readonly object: string;
  /** Of files' content; how many of these the tree still needs, counted once per entry that does. */
  readonly fileBytes: number;
  readonly liveBytes: number;
};

export type TreeCounts = {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files' sizes. */
  readonly bytes: number;
};

export type Manifest = {
  readonly format: typeof formatVersion;
  readonly codexVersion: string;
  readonly fleetVersion: string;
  readonly epoch: number;
  /** Grows along the chain, across epochs. */
  readonly number: number;
  readonly turnId: TurnId | null;
  /** Milliseconds since the epoch. */
  readonly takenAt: number;
  readonly lastSeq: number;
  /** The chain, newest first. */
  readonly previous: readonly SnapshotRef[];
  readonly exclude: readonly string[];
  readonly skipped: { readonly count: number; readonly first: readonly Skipped[] };
  /** Against the snapshot before. */
  readonly changed: number;
  readonly deleted: number;
  readonly counts: TreeCounts;
  readonly packs: readonly PackEntry[];
  readonly nextPack: number;
  readonly rollout: {
    /** Below Codex's home. */
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
    readonly parts: readonly RolloutPart[];
  };
  readonly events: readonly EventSegment[];
  readonly tree: readonly TreePart[];
};

/** Something of a snapshot is missing or is not what was written. */
export class Damaged extends ServiceError {
  readonly object: string;
  readonly problem: string;

  constructor(part: 'manifest' | 'rollout' | 'tree' | 'files' | 'events', object: string, problem: string) {
    super('session_corrupt', { part, problem });
    this.name = 'Damaged';
    this.object = object;
    this.problem = problem;
  }
}

const namePattern = /^(\d{1,15})\.(\d{1,15})\.[a-z0-9]{1,32}(?:\.(\d{1,15}))?$/;

export type ObjectName = {
  readonly epoch: number;
  readonly number: number;
  /** Where its manifest begins; null for an object that holds none. */
  readonly manifestAt: number | null;
};

/** `<epoch>.<number>.<random>`, and `.<where the manifest begins>` for the object that has it. */
export function mintObjectName(epoch: number, number: number, manifestAt: number | null): string {
  const random = randomBytes(8).toString('hex');
  return `${epoch}.${number}.${random}${manifestAt === null ? '' : `.${manifestAt}`}`;
}

/** null for a name that is not of ours. */
export function parseObjectName(name: string): ObjectName | null {
  const match = namePattern.exec(name);
  if (match === null) return null;
  return {
    epoch: Number(match[1]),
    number: Number(match[2]),
    manifestAt: match[3] === undefined ? null : Number(match[3]),
  };
}

/** Of the writer that put it; later than any where the name is not one of ours. */
export function epochOfSnapshot({ object }: SnapshotRef): number {
  return parseObjectName(object)?.epoch ?? Number.POSITIVE_INFINITY;
}

/** With its own hash behind it, so that it can be trusted where no reference to it is left. */
export function encodeManifest(manifest: Manifest): { readonly bytes: Buffer; readonly sha256: string } {
  const text = JSON.stringify(manifest);
  const sha256 = sha256Of(text);
  return { bytes: Buffer.from(`${text}\n${sha256}\n`), sha256 };
}

/**
 * `sha256`: what a reference says it is; null: what stands behind it must do. Throws Damaged, and
 * `session_failed` for one that a later version of this program wrote.
 */
export function decodeManifest(
  object: string,
  bytes: Buffer,
  sha256: string | null,
): { manifest: Manifest; sha256: string } {
  const end = bytes.indexOf(0x0a);
  if (end === -1) throw new Damaged('manifest', object, 'it is cut');
  const actual = sha256Of(bytes.subarray(0, end));
  const own = bytes.toString('latin1', end + 1, end + 65);
  if (actual !== (sha256 ?? own)) throw new Damaged('manifest', object, 'its hash does not match');
  const manifest = JSON.parse(bytes.toString('utf8', 0, end)) as { format: number };
  if (manifest.format > formatVersion) {
    throw new ServiceError('session_failed', {
      problem: `its snapshot was written by a later version of the fleet (format ${manifest.format}; this one reads up to ${formatVersion})`,
    });
  }
  return { manifest: manifest as Manifest, sha256: actual };
}

export function refOf(object: string, sha256: string, manifest: Manifest): SnapshotRef {
  const { turnId, lastSeq, takenAt, rollout } = manifest;
  return { object, sha256, turnId, lastSeq, takenAt, rolloutBytes: rollout.bytes };
}

export function objectOf(manifest: Manifest, pack: number): string {
  const entry = manifest.packs.find(({ id }) => id === pack);
  if (entry === undefined) throw new ServiceError('internal', {}, { message: `the manifest names no pack ${pack}` });
  return entry.object;
}

/** The packs table holds what is still needed, and nothing else. */
export function neededPacks(
  packs: readonly PackEntry[],
  pieces: Pick<Manifest, 'events' | 'tree'> & { readonly parts: readonly RolloutPart[] },
): readonly PackEntry[] {
  const named = new Set([...pieces.events, ...pieces.tree, ...pieces.parts].map(({ pack }) => pack));
  return packs.filter(({ id, liveBytes }) => liveBytes > 0 || named.has(id));
}

export function sha256Of(bytes: string | Uint8Array): string {
  return hash('sha256', bytes);
}
