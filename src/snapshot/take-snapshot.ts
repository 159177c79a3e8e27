// Takes a snapshot: the rollout's tail, the events since the last one, what changed in the workspace. Larger
// changes go ahead in packs; the last object, which has the manifest at its end, makes them a snapshot.

import type { EventLog } from '../contracts/event-log.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SnapshotRef } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import type { Skipped, WalkLimits } from '../workspace/walk.ts';
import { type BoundSession, type SessionPlace, sessionName, treeIdOf } from './bound-session.ts';
import type { CaptureJob, CaptureResult } from './capture-messages.ts';
import type { CaptureThread } from './capture-thread.ts';
import { DataPacks, type PackPut, type PutAhead } from './data-packs.ts';
import { packsToEvacuate } from './evacuation.ts';
import { gatherEvents, type GatheredEvents, storeEvents } from './event-segments.ts';
import { LastObject } from './last-object.ts';
import {
  encodeManifest,
  type EventSegment,
  formatVersion,
  type Manifest,
  mintObjectName,
  neededPacks,
  type PackEntry,
  refOf,
  type TreePart,
} from './manifest.ts';
import { RolloutFile } from './rollout-file.ts';
import { readRolloutTail, type RolloutTail, storeRolloutTail } from './rollout-parts.ts';
import { ToolSearch } from './tool-calls.ts';
import type { VerifiedObjects } from './verified-objects.ts';

export type TakeRequest = {
  readonly key: SessionKey;
  readonly epoch: number;
  readonly turnId: TurnId | null;
  /** The committed snapshot; null before the first. */
  readonly base: SnapshotRef | null;
  readonly place: SessionPlace;
  /** Below Codex's home: `sessions/…`. */
  readonly rolloutPath: string;
  readonly exclude: readonly string[];
  /** unless_untouched: a turn whose rollout mentions no tool keeps the tree of its base, and nothing is looked at. */
  readonly workspace: 'walk' | 'unless_untouched';
  /** Events up to here are sealed: the log holds them. */
  readonly sealUpTo: number;
};

export type TakeFacts = {
  readonly walked: boolean;
  /** Files, directories and links that are new or other than in the base. */
  readonly changed: number;
  readonly deleted: number;
  /** In the tree. */
  readonly files: number;
  readonly bytes: number;
  /** Objects that were put, and their bytes; none when nothing had changed. */
  readonly packs: number;
  readonly putBytes: number;
  readonly skipped: readonly Skipped[];
};

export type Taken = { readonly ref: SnapshotRef; readonly facts: TakeFacts };

export type TakeParts = {
  readonly objects: VerifiedObjects;
  readonly thread: CaptureThread;
  readonly log: EventLog;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly codexVersion: string;
  readonly fleetVersion: string;
  readonly limits: WalkLimits;
  readonly packBytes: number;
  readonly maxRolloutBytes: number;
  readonly keepSnapshots: number;
};

type Base = { readonly ref: SnapshotRef; readonly manifest: Manifest };

export async function takeSnapshot(parts: TakeParts, request: TakeRequest, bound: BoundSession): Promise<Taken> {
  const { key } = request;
  const base =
    request.base === null ? null : { ref: request.base, manifest: await parts.objects.manifest(key, request.base) };
  const rollout = RolloutFile.open(request.place.sessions, request.rolloutPath, parts.maxRolloutBytes);
  try {
    return await new Take(parts, request, bound, base).run(rollout);
  } finally {
    rollout.close();
  }
}

class Take {
  readonly #parts: TakeParts;
  readonly #request: TakeRequest;
  readonly #bound: BoundSession;
  readonly #base: Base | null;
  readonly #number: number;
  readonly #packs: DataPacks;

  constructor(parts: TakeParts, request: TakeRequest, bound: BoundSession, base: Base | null) {
    this.#parts = parts;
    this.#request = request;
    this.#bound = bound;
    this.#base = base;
    this.#number = (base?.manifest.number ?? 0) + 1;
    const { key, epoch } = request;
    this.#packs = new DataPacks({ store: parts.objects.store, key, epoch, snapshot: this.#number });
  }

  async run(rollout: RolloutFile): Promise<Taken> {
    const request = this.#request;
    const base = this.#base;
    const { log, logger, packBytes } = this.#parts;
    const putAhead: PackPut = (pieces) => this.#packs.putAhead(pieces);
    const committed = base?.manifest.rollout ?? null;
    const isSamePath = committed?.path === request.rolloutPath;
    const search = new ToolSearch();
    const tail = await readRolloutTail(rollout, isSamePath ? committed : null, {
      remembered: this.#bound.rollout,
      search,
      putAhead,
      packBytes,
    });
    const isWalked =
      base === null ||
      request.workspace === 'walk' ||
      !isSameList(base.manifest.exclude, request.exclude) ||
      search.hasFound;
    const { key, sealUpTo } = request;
    const [captured, events] = await bothOrNeither(
      isWalked ? this.#capture() : null,
      gatherEvents({ log, key, afterSeq: base?.manifest.lastSeq ?? 0, sealUpTo, putAhead, packBytes, logger }),
    );
    const isUnchanged = captured === null || captured.tree === null;
    if (base !== null && isUnchanged && tail.mark.bytes === tail.start && events.rest === null) {
      const isSameRequest =
        request.sealUpTo <= base.manifest.lastSeq && isSameList(base.manifest.exclude, request.exclude);
      if (isSameRequest) return { ref: base.ref, facts: this.#facts(base.manifest, captured, 0) };
    }
    return await this.#commit(rollout, tail, captured, events);
  }

  async #commit(
    rollout: RolloutFile,
    tail: RolloutTail,
    captured: CaptureResult | null,
    events: GatheredEvents,
  ): Promise<Taken> {
    const { objects, logger, nowMs, codexVersion, fleetVersion, keepSnapshots, packBytes } = this.#parts;
    const { key, epoch, turnId, exclude } = this.#request;
    const before = this.#base?.manifest;
    const last = new LastObject(captured?.restPack ?? before?.nextPack ?? 0);
    // Files' content comes first: the tree says where in the pack it lies.
    if (captured !== null && captured.rest.length > 0) last.add(captured.rest, notAsked);
    const tree = captured === null ? (before?.tree ?? []) : chainAfter(before?.tree ?? [], captured, last);
    let nextPack = last.pack + 1;
    const numberOf = (put: PutAhead): number => {
      const pack = nextPack++;
      this.#packs.number(pack, put);
      return pack;
    };
    const rolloutParts = await storeRolloutTail(rollout, tail, before?.rollout.parts ?? [], {
      last,
      numberOf,
      packBytes,
    });
    const segments = await storeEvents(events, before?.events ?? [], {
      last,
      numberOf,
      read: async (segment) => await this.#sealedBefore(segment),
      logger,
    });
    const live = new Map(captured?.live ?? before?.packs.map(({ id, liveBytes }) => [id, liveBytes]));
    const own = { id: last.pack, fileBytes: captured?.rest.length ?? 0, liveBytes: live.get(last.pack) ?? 0 };
    const object = mintObjectName(epoch, this.#number, last.bytes);
    const packs: PackEntry[] = [
      ...(before?.packs ?? []).map((pack) => ({ ...pack, liveBytes: live.get(pack.id) ?? 0 })),
      ...[...this.#packs.all()].map(([id, put]) => {
        return { id, object: put.object, fileBytes: id < last.pack ? put.bytes : 0, liveBytes: live.get(id) ?? 0 };
      }),
      { ...own, object },
    ];
    const manifest: Manifest = {
      format: formatVersion,
      codexVersion,
      fleetVersion,
      epoch,
      number: this.#number,
      turnId,
      takenAt: nowMs(),
      lastSeq: Math.max(this.#request.sealUpTo, before?.lastSeq ?? 0),
      previous:
        this.#base === null ? [] : [this.#base.ref, ...this.#base.manifest.previous].slice(0, keepSnapshots - 1),
      exclude,
      skipped: captured?.skipped ?? before?.skipped ?? { count: 0, first: [] },
      changed: captured?.changed ?? 0,
      deleted: captured?.deleted ?? 0,
      counts: captured?.counts ?? before?.counts ?? { files: 0, directories: 0, links: 0, bytes: 0 },
      packs: neededPacks(packs, { parts: rolloutParts, events: segments, tree }),
      nextPack,
      rollout: {
        path: this.#request.rolloutPath,
        bytes: tail.mark.bytes,
        sha256: tail.mark.sha256,
        parts: rolloutParts,
      },
      events: segments,
      tree,
    };
    const encoded = encodeManifest(manifest);
    const content = last.content(encoded.bytes);
    await objects.store.put(key, object, content);
    objects.remember(key, object, manifest);
    this.#bound.rollout = tail.mark;
    if (this.#bound.tree !== null && captured !== null && captured.tree !== null) {
      this.#bound.tree = { ...this.#bound.tree, captured: treeIdOf(manifest) };
    }
    const putBytes = content.reduce((sum, piece) => sum + piece.length, 0);
    return { ref: refOf(object, encoded.sha256, manifest), facts: this.#facts(manifest, captured, putBytes) };
  }

  #facts({ counts, skipped }: Manifest, captured: CaptureResult | null, lastBytes: number): TakeFacts {
    return {
      walked: captured !== null,
      changed: captured?.changed ?? 0,
      deleted: captured?.deleted ?? 0,
      files: counts.files,
      bytes: counts.bytes,
      packs: this.#packs.count + (lastBytes > 0 ? 1 : 0),
      putBytes: this.#packs.bytes + lastBytes,
      skipped: skipped.first,
    };
  }

  async #sealedBefore(segment: EventSegment): Promise<Uint8Array> {
    if (this.#base === null) throw new ServiceError('internal', {}, { message: 'nothing was sealed before' });
    return await this.#parts.objects.read(this.#request.key, this.#base.manifest, segment, 'events');
  }

  async #capture(): Promise<CaptureResult> {
    const { objects, thread, limits, packBytes } = this.#parts;
    const { key, place, exclude } = this.#request;
    const base = this.#base?.manifest ?? null;
    const treeId = base === null ? null : treeIdOf(base);
    const known = this.#bound.tree;
    const isKnown = known !== null && known.generation === thread.generation && treeId !== null;
    let from: CaptureJob['base'];
    if (isKnown && known.captured === treeId) from = 'captured';
    else if (isKnown && known.held === treeId) from = 'held';
    else from = base === null ? [] : await objects.tree(key, base);
    // If this ends badly nobody knows what the thread holds.
    this.#bound.tree = null;
    const job: CaptureJob = {
      kind: 'capture',
      session: sessionName(key),
      workspace: place.ws,
      indexFile: place.index,
      base: from,
      exclude,
      limits,
      packBytes,
      nextPack: base?.nextPack ?? 0,
      evacuate: base === null ? [] : packsToEvacuate(base.packs, packBytes),
      chainEntries: base?.tree.map(({ entries }) => entries) ?? [],
    };
    const result = await thread.run(job, {
      store: async (pack, bytes) => this.#packs.number(pack, await this.#packs.putAhead([bytes])),
      read: async () => null,
      objectOf: (pack) => String(pack),
    });
    this.#bound.tree = { generation: thread.generation, held: treeId, captured: null };
    return result;
  }
}

/** The tree has a hash of each piece; nobody asks for one of them together. */
const notAsked = '';

function chainAfter(before: readonly TreePart[], { tree }: CaptureResult, last: LastObject): readonly TreePart[] {
  if (tree === null) return before;
  const part = { entries: tree.entries, ...last.add(tree.bytes, tree.sha256) };
  switch (tree.role) {
    case 'whole':
      return [part];
    case 'alters':
      return [...before, part];
    case 'summarises':
      return [...before.slice(0, 1), part];
  }
}

/** Both, or the first failure once neither works any more: nothing goes on behind the caller's back. */
async function bothOrNeither<A, B>(first: Promise<A> | null, second: Promise<B>): Promise<[A | null, B]> {
  const [one, two] = await Promise.allSettled([first, second]);
  if (one.status === 'rejected') throw one.reason;
  if (two.status === 'rejected') throw two.reason;
  return [one.value, two.value];
}

function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((one, index) => one === right[index]);
}
