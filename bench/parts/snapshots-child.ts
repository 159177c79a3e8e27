// The product's snapshots on a durable store of files, in a process of its own: makes trees, takes snapshots
// of them as a worker does at the end of a turn, and says how long each took.

import { lstatSync, readdirSync } from 'node:fs';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { FileSnapshotStore } from '../../src/adapters/files/file-snapshot-store.ts';
import { MemoryEventLog } from '../../src/adapters/memory/memory-event-log.ts';
import { mintId } from '../../src/core/ids.ts';
import type { SnapshotRef } from '../../src/core/session.ts';
import { createSilentLogger } from '../../src/observability/logger.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import type { SessionPlace } from '../../src/snapshot/bound-session.ts';
import { Snapshots } from '../../src/snapshot/snapshots.ts';
import type { TakeFacts } from '../../src/snapshot/take-snapshot.ts';
import { storedEvents } from '../../src/testing/stored-events.ts';
import { serveParent } from './serve-parent.ts';
import type { CommitKind, CommitTook, MadeTree, TreeJob } from './snapshots-facts.ts';

const filesPerDirectory = 100;
const rolloutPath = 'sessions/2026/01/01/rollout.jsonl';
/** About what a turn of one short answer leaves. */
const linesPerTurn = 8;
const eventsPerTurn = 12;

type Tree = {
  readonly key: { readonly tenant: string; readonly sessionId: string };
  readonly place: SessionPlace;
  readonly files: number;
  readonly content: Buffer;
  ref: SnapshotRef | null;
  lastSeq: number;
};

const clock = new SystemClock();
const log = new MemoryEventLog();
const trees = new Map<number, Tree>();
let root = '';
let snapshots: Snapshots | null = null;

serveParent({ start, make, look, commit }, async () => snapshots?.stop());

async function start({ dir }: { readonly dir: string }): Promise<null> {
  root = dir;
  const storeDir = path.join(dir, 'snapshots');
  await mkdir(dir, { recursive: true });
  snapshots = new Snapshots({
    store: new FileSnapshotStore(storeDir),
    log,
    codexVersion: '0.0.0',
    fleetVersion: '0.0.0',
    clock,
    logger: createSilentLogger(),
  });
  return null;
}

/** Answers how long its first snapshot took, with which all content is stored. */
async function make({ files, fileBytes }: TreeJob): Promise<MadeTree> {
  const sessionId = mintId();
  const home = path.join(root, sessionId, 'home');
  const place = { ws: path.join(root, sessionId, 'ws'), sessions: path.join(home, 'sessions'), index: `${home}.index` };
  const tree: Tree = {
    key: { tenant: 'bench', sessionId },
    place,
    files,
    content: Buffer.from(crypto.getRandomValues(new Uint8Array(fileBytes))),
    ref: null,
    lastSeq: 0,
  };
  trees.set(files, tree);
  await mkdir(path.dirname(path.join(home, rolloutPath)), { recursive: true });
  await mkdir(place.ws);
  for (let first = 0; first < files; first += filesPerDirectory) {
    await mkdir(path.join(place.ws, `d${first / filesPerDirectory}`));
    const end = Math.min(files, first + filesPerDirectory);
    for (let file = first; file < end; file += 1) await writeOne(tree, file, file);
  }
  const { facts, ms } = await take(tree, 'tool');
  return { firstMs: ms, storedBytes: facts.putBytes };
}

/** What no walk can be faster than: the names of every directory, and lstat of each. */
function look({ files }: { readonly files: number }): number {
  const ws = trees.get(files)?.place.ws ?? '';
  const startedMs = performance.now();
  for (const directory of readdirSync(ws)) {
    const inside = path.join(ws, directory);
    for (const name of readdirSync(inside)) lstatSync(`${inside}/${name}`);
  }
  return performance.now() - startedMs;
}

async function commit({ files, kind }: { readonly files: number; readonly kind: CommitKind }): Promise<CommitTook> {
  const tree = trees.get(files);
  if (tree === undefined) throw new Error(`there is no tree of ${files} files`);
  if (kind === 'changed') {
    await writeOne(tree, Math.floor(Math.random() * files), Math.random());
    // Else it is so new that the next one reads it again.
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  const before = tree.ref;
  const { facts, ...took } = await take(tree, kind);
  const isAsMeant = facts.walked === (kind !== 'plain') && facts.changed === (kind === 'changed' ? 1 : 0);
  if (!isAsMeant || tree.ref === before) throw new Error(`not a commit as was meant: ${JSON.stringify(facts)}`);
  return took;
}

async function take(tree: Tree, kind: CommitKind): Promise<CommitTook & { readonly facts: TakeFacts }> {
  if (snapshots === null) throw new Error('not started');
  const { key, place } = tree;
  await appendFile(path.join(place.sessions, '..', rolloutPath), turnLines(kind !== 'plain'));
  await log.append(key, 1, storedEvents(key, 1, tree.lastSeq + 1, tree.lastSeq + eventsPerTurn));
  tree.lastSeq += eventsPerTurn;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const taken = await snapshots.take({
    key,
    epoch: 1,
    turnId: mintId(),
    base: tree.ref,
    place,
    rolloutPath,
    exclude: [],
    workspace: 'unless_untouched',
    sealUpTo: tree.lastSeq,
  });
  const ms = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(before);
  delay.disable();
  tree.ref = taken.ref;
  return { ms, cpuMs: (user + system) / 1000, loopMs: delay.max / 1e6, facts: taken.facts };
}

async function writeOne({ content, place }: Tree, file: number, mark: number): Promise<void> {
  content.writeDoubleLE(mark, 0);
  await writeFile(path.join(place.ws, `d${Math.floor(file / filesPerDirectory)}`, `f${file}`), content);
}

function turnLines(hasTool: boolean): string {
  const text = 'x'.repeat(600);
  const line = (payload: unknown): string => `${JSON.stringify({ type: 'response_item', payload })}\n`;
  const call = hasTool ? line({ type: 'function_call', name: 'exec_command', arguments: '{}' }) : '';
  return line({ type: 'message', role: 'assistant', text }).repeat(linesPerTurn) + call;
}
