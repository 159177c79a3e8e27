// A session's directories on disk, a store in memory, and snapshots of the one in the other: for tests of
// what takes, restores and reads snapshots.

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemorySnapshotStore } from '../adapters/memory/memory-snapshot-store.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { SnapshotStore } from '../contracts/snapshots.ts';
import type { SnapshotRef } from '../core/session.ts';
import { createSilentLogger, type Logger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import type { SessionPlace } from '../snapshot/bound-session.ts';
import { type SnapshotLimits, Snapshots } from '../snapshot/snapshots.ts';
import type { Taken, TakeRequest } from '../snapshot/take-snapshot.ts';
import { storedEvents } from './stored-events.ts';

export const labKey = { tenant: 'acme', sessionId: '01900000-0000-7000-8000-000000000001' } as const;
export const labRollout = `sessions/2026/01/01/rollout-2026-01-01T00-00-00-${labKey.sessionId}.jsonl`;

/** A line of a rollout that calls no tool. */
export const plainLine = `${JSON.stringify({ type: 'response_item', payload: { type: 'message', role: 'user' } })}\n`;
export const toolLine = `${JSON.stringify({ type: 'response_item', payload: { type: 'function_call', name: 'x' } })}\n`;

export type LabParts = {
  /** What is sealed, in place of the lab's own log. */
  readonly log?: EventLog;
  readonly logger?: Logger;
};

export class SnapshotLab implements AsyncDisposable {
  readonly root = mkdtempSync(path.join(tmpdir(), 'snapshot-lab-'));
  readonly store: SnapshotStore;
  readonly log = new MemoryEventLog();
  readonly place: SessionPlace;
  readonly #limits: Partial<SnapshotLimits>;
  readonly #parts: LabParts;
  snapshots: Snapshots;
  /** The snapshot that the session stands at. */
  ref: SnapshotRef | null = null;
  #lastSeq = 0;
  #places = 0;

  constructor(
    limits: Partial<SnapshotLimits> = {},
    store: SnapshotStore = new MemorySnapshotStore(),
    parts: LabParts = {},
  ) {
    this.store = store;
    this.#limits = limits;
    this.#parts = parts;
    this.snapshots = this.#open();
    this.place = this.newPlace();
    mkdirSync(this.place.ws, { recursive: true });
    this.appendRollout(plainLine);
  }

  /** Directories that do not exist yet. */
  newPlace(): SessionPlace {
    this.#places += 1;
    const home = path.join(this.root, `place-${this.#places}`);
    return {
      ws: path.join(home, 'ws'),
      sessions: path.join(home, 'home', 'sessions'),
      index: path.join(this.root, `place-${this.#places}.index`),
    };
  }

  appendRollout(text: string): void {
    const file = this.rolloutFile();
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text, { flag: 'a' });
  }

  rolloutFile(place: SessionPlace = this.place): string {
    return path.join(path.dirname(place.sessions), labRollout);
  }

  async appendEvents(count: number): Promise<void> {
    await this.log.append(labKey, 1, storedEvents(labKey, 1, this.#lastSeq + 1, this.#lastSeq + count));
    this.#lastSeq += count;
  }

  request(changes: Partial<TakeRequest> = {}): TakeRequest {
    return {
      key: labKey,
      epoch: 1,
      turnId: null,
      base: this.ref,
      place: this.place,
      rolloutPath: labRollout,
      exclude: [],
      workspace: 'walk',
      sealUpTo: this.#lastSeq,
      ...changes,
    };
  }

  /** Takes one, and has the session stand at it. */
  async take(changes: Partial<TakeRequest> = {}): Promise<Taken> {
    const taken = await this.snapshots.take(this.request(changes));
    this.ref = taken.ref;
    return taken;
  }

  /** Everything that is only remembered is lost. */
  async restart(): Promise<void> {
    await this.snapshots.stop();
    this.snapshots = this.#open();
  }

  file(name: string): string {
    return path.join(this.place.ws, name);
  }

  write(name: string, content: string | Buffer, mode = 0o644): void {
    mkdirSync(path.dirname(this.file(name)), { recursive: true });
    writeFileSync(this.file(name), content);
    chmodSync(this.file(name), mode);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.snapshots.stop();
    rmSync(this.root, { recursive: true, force: true });
  }

  #open(): Snapshots {
    return new Snapshots({
      store: this.store,
      log: this.#parts.log ?? this.log,
      codexVersion: '0.0.1',
      fleetVersion: '0.0.2',
      clock: new SystemClock(),
      logger: this.#parts.logger ?? createSilentLogger(),
      limits: this.#limits,
    });
  }
}

/** All that a directory holds, by path: mode, time, and content as text. */
export function treeOnDisk(root: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(path.join(root, below)).sort()) {
    const relative = below === '' ? name : `${below}/${name}`;
    const file = path.join(root, relative);
    const stats = lstatSync(file);
    const mode = (stats.mode & 0o777).toString(8);
    if (stats.isSymbolicLink()) found[relative] = `link to ${readlinkSync(file)}`;
    else if (stats.isDirectory()) Object.assign(found, { [relative]: `directory ${mode}` }, treeOnDisk(root, relative));
    else if (stats.isFile()) {
      found[relative] = `file ${mode} ${Math.round(stats.mtimeMs)} ${readFileSync(file).toString('latin1')}`;
    } else found[relative] = 'special';
  }
  return found;
}

export async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
