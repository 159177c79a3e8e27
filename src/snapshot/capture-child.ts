// The capture thread: looks at the files of sessions, away from the loop that serves clients. Several
// sessions' jobs take turns. It ends when it is told to; what it knew then is learnt again.

import { parentPort } from 'node:worker_threads';
import { isDiskFull } from '../core/disk-full.ts';
import { type ErrorCode, isServiceError } from '../core/errors.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { type Captured, capture, nothingToWaitFor, settle } from './capture.ts';
import type { CaptureJob, CaptureResult, FromThread, Job, RestoreJob, ToThread } from './capture-messages.ts';
import { KnownFiles } from './known-files.ts';
import { DamagedPack, restoreFiles } from './restore-files.ts';

/** How long a job may hold the thread while others wait. */
const sliceMs = 10;
/** Packs handed over that are not stored yet: memory, not speed, sets the bound. */
const maxUnstored = 4;

type Session = { readonly known: KnownFiles; captured: Captured | null };

/** A job's half of the conversation. */
type Talk = {
  unstored: number;
  isAborted: boolean;
  /** Waits for room for a pack. */
  goOn: (() => void) | null;
  readonly wants: Map<number, (bytes: Uint8Array | null) => void>;
};

if (parentPort === null) throw new Error('capture-child is a worker thread');
const port = parentPort;
const clock = new SystemClock();
const sessions = new Map<string, Session>();
const talks = new Map<number, Talk>();
let wants = 0;

port.on('message', (message: ToThread) => {
  if (message.type === 'start') {
    void run(message.id, message.job);
    return;
  }
  const talk = talks.get(message.id);
  if (talk === undefined) return;
  switch (message.type) {
    case 'stored':
      talk.unstored -= 1;
      break;
    case 'abort':
      talk.isAborted = true;
      for (const answer of talk.wants.values()) answer(null);
      break;
    case 'supply':
      talk.wants.get(message.want)?.(message.bytes);
      talk.wants.delete(message.want);
      return;
  }
  talk.goOn?.();
});

async function run(id: number, job: Job): Promise<void> {
  const talk: Talk = { unstored: 0, isAborted: false, goOn: null, wants: new Map() };
  talks.set(id, talk);
  try {
    const result = await work(id, job, talk);
    // A whole tree is large; everything else is cheaper copied.
    const moved = [result?.tree?.bytes, result?.rest].filter((bytes) => bytes !== undefined && isAlone(bytes));
    send(
      { type: 'done', id, result },
      moved.map((bytes) => (bytes as Uint8Array<ArrayBuffer>).buffer),
    );
  } catch (error) {
    const known = isServiceError(error);
    send({
      type: 'failed',
      id,
      code: known ? error.code : codeOf(error),
      details: known ? error.details : {},
      message: error instanceof Error ? error.message : String(error),
      pack: error instanceof DamagedPack ? error.pack : null,
    });
  } finally {
    talks.delete(id);
  }
}

async function work(id: number, job: Job, talk: Talk): Promise<CaptureResult | null> {
  switch (job.kind) {
    case 'capture':
      return await captureSession(id, job, talk);
    case 'restore':
      await restoreSession(id, job, talk);
      return null;
    case 'drop': {
      const session = sessions.get(job.session);
      sessions.delete(job.session);
      if (job.indexFile !== null) session?.known.saveIndex(job.indexFile);
      return null;
    }
  }
}

async function captureSession(id: number, job: CaptureJob, talk: Talk): Promise<CaptureResult> {
  const breathe = breathing(talk);
  let session = sessions.get(job.session);
  // Asked of a thread that died before it heard of this: the one who asks will send the tree next time.
  const isLost = session === undefined || (job.base === 'captured' && session.captured === null);
  if (typeof job.base === 'string' && isLost) throw new Error('the thread does not hold that tree');
  if (session === undefined) {
    session = { known: new KnownFiles(), captured: null };
    session.known.loadIndex(job.indexFile);
  }
  const { known, captured } = session;
  // Known again only once it is known what: a job that fails on the way leaves half a tree.
  sessions.delete(job.session);
  session.captured = null;
  if (job.base === 'captured' && captured !== null) settle(known, captured);
  else if (typeof job.base !== 'string') await known.loadTree(job.base, breathe);
  sessions.set(job.session, session);

  const handOver = async (pack: number, bytes: Uint8Array): Promise<void> => {
    while (talk.unstored >= maxUnstored && !talk.isAborted) await new Promise<void>((resolve) => (talk.goOn = resolve));
    assertWanted(talk);
    talk.unstored += 1;
    send({ type: 'pack', id, pack, bytes }, [bytes.buffer as ArrayBuffer]);
  };
  session.captured = await capture(known, job, { handOver, breathe, nowMs: () => clock.now() });
  return session.captured.result;
}

async function restoreSession(id: number, job: RestoreJob, talk: Talk): Promise<void> {
  sessions.delete(job.session);
  const known = new KnownFiles();
  const breathe = breathing(talk);
  const want = async (pack: number, offset: number, length: number): Promise<Uint8Array | null> => {
    assertWanted(talk);
    wants += 1;
    const one = wants;
    return await new Promise((resolve) => {
      talk.wants.set(one, resolve);
      send({ type: 'want', id, want: one, pack, offset, length });
    });
  };
  await known.loadTree(job.tree, breathe);
  await restoreFiles(known, job.workspace, { want, breathe, nowMs: () => clock.now() });
  sessions.set(job.session, { known, captured: null });
}

function breathing(talk: Talk): () => Promise<void> {
  let calls = 0;
  let sinceMs = clock.monotonicMs();
  return () => {
    calls += 1;
    // Looking at the time for each of 100,000 files would take longer than anything else here.
    if (calls % 64 !== 0 || clock.monotonicMs() - sinceMs < sliceMs) return nothingToWaitFor;
    return pause();
  };
  async function pause(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    assertWanted(talk);
    sinceMs = clock.monotonicMs();
  }
}

function assertWanted(talk: Talk): void {
  if (talk.isAborted) throw new Error('the job was given up');
}

/** Only a buffer of its own can be handed over: small ones share theirs. */
function isAlone(bytes: Uint8Array): boolean {
  return (
    bytes.byteLength > 0 &&
    bytes.buffer.byteLength === bytes.byteLength &&
    !Object.is(bytes.buffer, Buffer.from('').buffer)
  );
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof DamagedPack) return 'session_corrupt';
  return isDiskFull(error) ? 'storage_full' : 'store_unavailable';
}

function send(message: FromThread, moved: ArrayBuffer[] = []): void {
  port.postMessage(message, moved);
}
