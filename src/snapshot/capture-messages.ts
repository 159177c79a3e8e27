// What is said between the capture thread and the one that asks it. Bytes are handed over, not copied.

import type { ErrorCode, ErrorDetails } from '../core/errors.ts';
import type { Skipped, WalkLimits } from '../workspace/walk.ts';
import type { TreeCounts } from './manifest.ts';

/** Compressed parts of a tree, in the order of the chain. */
export type TreeBytes = readonly Uint8Array[];

export type CaptureJob = {
  readonly kind: 'capture';
  readonly session: string;
  readonly workspace: string;
  /** Read when the thread does not know the session; it may be absent or damaged. */
  readonly indexFile: string;
  /** The tree to compare with: the one that it holds, with or without what its last capture found, or this one. */
  readonly base: 'held' | 'captured' | TreeBytes;
  readonly exclude: readonly string[];
  readonly limits: WalkLimits;
  readonly packBytes: number;
  /** The number of the first new pack. */
  readonly nextPack: number;
  /** Packs whose files' content is to be kept elsewhere from now on. */
  readonly evacuate: readonly number[];
  /** Entries in each part of the base's chain; none: the tree is written whole. */
  readonly chainEntries: readonly number[];
};

export type CaptureResult = {
  /** null: nothing changed. `alters`: to be appended to the chain; `summarises`: in place of all but its first. */
  readonly tree: {
    readonly role: 'whole' | 'alters' | 'summarises';
    readonly bytes: Uint8Array;
    readonly sha256: string;
    readonly entries: number;
  } | null;
  /** The content that filled no pack of its own; its number is behind those of the packs handed over. */
  readonly rest: Uint8Array;
  readonly restPack: number;
  /** By pack: bytes of files' content that the tree needs of it. */
  readonly live: readonly (readonly [pack: number, bytes: number])[];
  readonly counts: TreeCounts;
  readonly changed: number;
  readonly deleted: number;
  readonly skipped: { readonly count: number; readonly first: readonly Skipped[] };
};

export type RestoreJob = {
  readonly kind: 'restore';
  readonly session: string;
  /** An empty directory. */
  readonly workspace: string;
  readonly tree: TreeBytes;
};

/** The session is let go; `indexFile`: where to write down what is known of its files. */
export type DropJob = { readonly kind: 'drop'; readonly session: string; readonly indexFile: string | null };

export type Job = CaptureJob | RestoreJob | DropJob;
export type JobResult<J extends Job> = J extends CaptureJob ? CaptureResult : null;

export type ToThread =
  | { readonly type: 'start'; readonly id: number; readonly job: Job }
  /** A pack that was handed over is stored: there is room for another. */
  | { readonly type: 'stored'; readonly id: number }
  | { readonly type: 'supply'; readonly id: number; readonly want: number; readonly bytes: Uint8Array | null }
  | { readonly type: 'abort'; readonly id: number };

export type FromThread =
  | { readonly type: 'pack'; readonly id: number; readonly pack: number; readonly bytes: Uint8Array }
  | {
      readonly type: 'want';
      readonly id: number;
      readonly want: number;
      readonly pack: number;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly type: 'done'; readonly id: number; readonly result: CaptureResult | null }
  | {
      readonly type: 'failed';
      readonly id: number;
      readonly code: ErrorCode;
      readonly details: ErrorDetails;
      readonly message: string;
      /** The pack that is damaged; null when it is something else. */
      readonly pack: number | null;
    };
