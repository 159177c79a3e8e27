// The capture thread as its process sees it: started with the first job, started again after it died, jobs
// passed on so many at a time, what it hands over given to those who asked. Its work is in capture-child.ts.

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { CaptureResult, FromThread, Job, JobResult, ToThread } from './capture-messages.ts';
import { Damaged } from './manifest.ts';

export type JobLinks = {
  /** Stores a pack; the bytes are the caller's. */
  readonly store: (pack: number, bytes: Uint8Array) => Promise<void>;
  /** Answers null when there is no such object. */
  readonly read: (pack: number, offset: number, length: number) => Promise<Uint8Array | null>;
  /** For the error that says what is damaged. */
  readonly objectOf: (pack: number) => string;
};

type Running = {
  readonly id: number;
  readonly job: Job;
  readonly links: JobLinks;
  readonly resolve: (result: CaptureResult | null) => void;
  readonly reject: (error: unknown) => void;
  /** What was handed over; none of them rejects. */
  readonly stores: Promise<void>[];
  /** What a link of it failed with: the job is told to end, and is answered with this when it has. */
  failure?: { readonly error: unknown };
};

/** Each may hold a few hundred descriptors open; the others wait in line. */
const maxRunning = 4;
/** The files of a few sessions of the largest kind. Beyond it the thread ends, not the process. */
const heapMb = 3072;

const entry = new URL(import.meta.url.endsWith('.ts') ? './capture-child.ts' : './capture-child.js', import.meta.url);

export class CaptureThread {
  readonly #logger: Logger;
  readonly #running = new Map<number, Running>();
  readonly #waiting: Running[] = [];
  #worker: Worker | null = null;
  #isStopped = false;
  #lastId = 0;
  /** Grows when the thread dies: what it knew is lost. */
  generation = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Rejects with what the links reject with, `storage_full`, `workspace_too_large`, Damaged, `store_unavailable`. */
  async run<J extends Job>(job: J, links: JobLinks): Promise<JobResult<J>> {
    if (this.#isStopped) throw new ServiceError('draining');
    this.#lastId += 1;
    const id = this.#lastId;
    const result = await new Promise<CaptureResult | null>((resolve, reject) => {
      this.#waiting.push({ id, job, links, resolve, reject, stores: [] });
      this.#startNext();
    });
    return result as JobResult<J>;
  }

  /** Jobs that have not ended are rejected with `draining`. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const worker = this.#worker;
    this.#worker = null;
    this.#rejectAll(new ServiceError('draining'));
    await worker?.terminate();
  }

  #startNext(): void {
    while (this.#running.size < maxRunning) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running.set(next.id, next);
      this.#send({ type: 'start', id: next.id, job: next.job });
      this.#worker?.ref();
    }
  }

  #send(message: ToThread, moved: ArrayBuffer[] = []): void {
    (this.#worker ??= this.#start()).postMessage(message, moved);
  }

  #start(): Worker {
    const worker = new Worker(fileURLToPath(entry), {
      name: 'capture',
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    });
    worker.on('message', (message: FromThread) => this.#hear(message));
    worker.on('error', (error) => this.#lost(worker, error));
    worker.on('exit', () => this.#lost(worker, null));
    return worker;
  }

  #lost(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    this.generation += 1;
    this.#logger.error(
      { event: 'capture_thread_lost', err: error },
      'the capture thread ended; the next job starts another',
    );
    const problem = new ServiceError('store_unavailable', { problem: 'the capture thread ended' }, { cause: error });
    const lost = [...this.#running.values()];
    this.#running.clear();
    for (const { reject } of lost) reject(problem);
    this.#startNext();
  }

  #rejectAll(error: ServiceError): void {
    const all = [...this.#running.values(), ...this.#waiting.splice(0)];
    this.#running.clear();
    for (const { reject } of all) reject(error);
  }

  #hear(message: FromThread): void {
    const running = this.#running.get(message.id);
    if (running === undefined) return;
    switch (message.type) {
      case 'pack':
        running.stores.push(this.#store(running, message.pack, message.bytes));
        return;
      case 'want':
        void this.#supply(running, message);
        return;
      case 'done':
      case 'failed':
        void this.#finish(running, message);
    }
  }

  /** The thread has ended the job before all that it handed over is stored: nothing may name what is not there. */
  async #finish(running: Running, message: Extract<FromThread, { type: 'done' | 'failed' }>): Promise<void> {
    await Promise.all(running.stores);
    // The thread died, or was stopped, meanwhile: it was answered.
    if (!this.#running.has(running.id)) return;
    this.#end(running);
    if (running.failure !== undefined) running.reject(running.failure.error);
    else if (message.type === 'done') running.resolve(message.result);
    else running.reject(problemOf(running, message));
  }

  async #store(running: Running, pack: number, bytes: Uint8Array): Promise<void> {
    try {
      await running.links.store(pack, bytes);
      if (this.#running.has(running.id)) this.#send({ type: 'stored', id: running.id });
    } catch (error) {
      this.#giveUp(running, error);
    }
  }

  async #supply(running: Running, want: Extract<FromThread, { type: 'want' }>): Promise<void> {
    try {
      const bytes = await running.links.read(want.pack, want.offset, want.length);
      if (this.#running.has(running.id)) this.#send({ type: 'supply', id: running.id, want: want.want, bytes });
    } catch (error) {
      this.#giveUp(running, error);
    }
  }

  #giveUp(running: Running, error: unknown): void {
    running.failure ??= { error };
    if (this.#running.has(running.id)) this.#send({ type: 'abort', id: running.id });
  }

  #end(running: Running): void {
    this.#running.delete(running.id);
    this.#startNext();
    // A program that has nothing else to do may end.
    if (this.#running.size === 0) this.#worker?.unref();
  }
}

function problemOf({ links }: Running, failed: Extract<FromThread, { type: 'failed' }>): ServiceError {
  const { code, details, message, pack } = failed;
  if (pack !== null) return new Damaged('files', links.objectOf(pack), message);
  return new ServiceError(code, details, { cause: new Error(message) });
}
