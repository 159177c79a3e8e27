// One run of a worker, reached over HTTP: the worker's contracts as calls of its internal face, each with
// a deadline. Nothing is repeated here: `worker_unreachable` says that nothing was taken, `worker_lost` that nobody knows.

import {
  type Answered,
  type Asked,
  bootHeader,
  bootPath,
  type JsonCall,
  jsonCalls,
  readCalls,
  type WireSchema,
  type WireValue,
  writeCalls,
} from '../../api/worker-wire.ts';
import type { ByteRange } from '../../contracts/snapshots.ts';
import type {
  CommandRequest,
  CommandResult,
  SessionKey,
  StartOptions,
  TurnKey,
  WorkerLink,
  WorkerStatus,
} from '../../contracts/worker-link.ts';
import type {
  ArchiveFormat,
  DiffBase,
  FileContent,
  FileDiff,
  FileEntry,
  FileQuery,
  FileWrite,
  WorkspaceLink,
} from '../../contracts/workspace-link.ts';
import type { Clock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import type { WorkerId } from '../../core/ids.ts';
import { request } from 'undici';
import { WorkerConnection } from './worker-connection.ts';

/** A worker of the fleet, wherever it runs. */
export interface RemoteWorker extends WorkerLink, WorkspaceLink {
  status(): Promise<WorkerStatus & { readonly fleetVersion: string }>;
  /** Begins its drain. */
  drain(): Promise<void>;
  /** Lets calls under way end by themselves, then its connections. */
  retire(): Promise<void>;
  /** Ends calls under way. */
  close(): Promise<void>;
}

export type WorkerHttpLinkParts = {
  readonly id: WorkerId;
  readonly boot: string;
  readonly url: string;
  /** `internalCredential(secret, 'worker', boot)`. */
  readonly credential: string;
  readonly clock: Clock;
  readonly deadlines?: Partial<WorkerDeadlines>;
};

export type WorkerDeadlines = {
  /** To take a turn, or to refuse it. */
  readonly startTurnMs: number;
  /** What is answered from what the worker knows. */
  readonly askMs: number;
  readonly statusMs: number;
  /** What ends or binds something, reads a workspace, or commits. */
  readonly workMs: number;
  /** On top of a command's own time: it may wait for a slot. */
  readonly commandMs: number;
  /** Between two pieces of a file or an archive. */
  readonly stallMs: number;
};

const defaultDeadlines: WorkerDeadlines = {
  startTurnMs: 10_000,
  askMs: 10_000,
  statusMs: 2000,
  workMs: 5 * 60_000,
  commandMs: 6 * 60_000,
  stallMs: 90_000,
};

export class WorkerHttpLink implements RemoteWorker {
  readonly #id: WorkerId;
  readonly #connection: WorkerConnection;
  readonly #deadlines: WorkerDeadlines;

  constructor({ boot, clock, credential, deadlines, id, url }: WorkerHttpLinkParts) {
    this.#id = id;
    this.#deadlines = { ...defaultDeadlines, ...deadlines };
    this.#connection = new WorkerConnection({ worker: id, url, boot, credential, clock });
  }

  async startTurn(key: TurnKey, { onlyIfIdle = false }: StartOptions = {}): Promise<void> {
    await this.#call('startTurn', { key, onlyIfIdle }, this.#deadlines.startTurnMs);
  }

  async cancelTurn(key: TurnKey): Promise<void> {
    await this.#call('cancelTurn', { key }, this.#deadlines.workMs);
  }

  async steerTurn(key: TurnKey, steerId: string, text: string): Promise<void> {
    await this.#call('steerTurn', { key, steerId, text }, this.#deadlines.workMs);
  }

  async approvalSettled(key: SessionKey, approvalId: string): Promise<void> {
    await this.#call('approvalSettled', { key, approvalId }, this.#deadlines.askMs);
  }

  async hibernateSession(key: SessionKey): Promise<void> {
    await this.#call('hibernateSession', { key }, this.#deadlines.workMs);
  }

  async wakeSession(key: SessionKey): Promise<void> {
    await this.#call('wakeSession', { key }, this.#deadlines.workMs);
  }

  async recoverSession(key: SessionKey): Promise<void> {
    await this.#call('recoverSession', { key }, this.#deadlines.workMs);
  }

  runCommand({ command, key, timeoutMs }: CommandRequest): Promise<CommandResult> {
    return this.#call('runCommand', { key, command: [...command], timeoutMs }, timeoutMs + this.#deadlines.commandMs);
  }

  async eraseSession(key: SessionKey): Promise<void> {
    await this.#call('eraseSession', { key }, this.#deadlines.workMs);
  }

  status(): Promise<WorkerStatus & { readonly fleetVersion: string }> {
    return this.#call('status', {}, this.#deadlines.statusMs);
  }

  async drain(): Promise<void> {
    await this.#call('drain', {}, this.#deadlines.askMs);
  }

  listFiles(key: SessionKey, query: FileQuery): Promise<{ data: readonly FileEntry[]; hasMore: boolean }> {
    return this.#call('listFiles', { key, query }, this.#deadlines.workMs);
  }

  async readFile(key: SessionKey, path: string, range: ByteRange | null): Promise<FileContent> {
    const { workMs, stallMs } = this.#deadlines;
    const { asked, facts, path: url } = readCalls.readFile;
    const answer = await this.#connection.read(
      url,
      { key, path, range } satisfies WireValue<typeof asked>,
      workMs,
      stallMs,
    );
    const { entry, etag } = this.#parsed(facts, answer.facts);
    return { entry: { ...entry, path }, etag, content: answer.content };
  }

  async writeFile(key: SessionKey, { content, ...write }: FileWrite): Promise<{ etag: string; isNew: boolean }> {
    const { answered, facts, path } = writeCalls.writeFile;
    const told = { key, ...write } satisfies WireValue<typeof facts>;
    return this.#parsed(answered, await this.#connection.write(path, told, content, this.#uploadLimits));
  }

  async deleteFile(key: SessionKey, path: string, ifMatch: string | null): Promise<void> {
    await this.#call('deleteFile', { key, path, ifMatch }, this.#deadlines.workMs);
  }

  async readArchive(key: SessionKey, path: string, format: ArchiveFormat): Promise<AsyncIterable<Uint8Array>> {
    const { workMs, stallMs } = this.#deadlines;
    const { asked, path: url } = readCalls.readArchive;
    const question = { key, path, format } satisfies WireValue<typeof asked>;
    return (await this.#connection.read(url, question, workMs, stallMs)).content;
  }

  async writeArchive(
    key: SessionKey,
    path: string,
    format: ArchiveFormat,
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ files: number; bytes: number }> {
    const { answered, facts, path: url } = writeCalls.writeArchive;
    const told = { key, path, format } satisfies WireValue<typeof facts>;
    return this.#parsed(answered, await this.#connection.write(url, told, content, this.#uploadLimits));
  }

  async diff(key: SessionKey, base: DiffBase): Promise<readonly FileDiff[]> {
    return (await this.#call('diff', { key, base }, this.#deadlines.workMs)).data;
  }

  retire(): Promise<void> {
    return this.#connection.retire();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  get #uploadLimits(): { readonly stallMs: number; readonly deadlineMs: number } {
    return { stallMs: this.#deadlines.stallMs, deadlineMs: this.#deadlines.workMs };
  }

  async #call<C extends JsonCall>(call: C, asked: Asked<C>, deadlineMs: number): Promise<Answered<C>> {
    const { answered, path } = jsonCalls[call];
    return this.#parsed(answered as WireSchema, await this.#connection.call(path, asked, deadlineMs)) as Answered<C>;
  }

  #parsed<S extends WireSchema>(schema: S, answer: unknown): WireValue<S> {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const details = { worker: this.#id, reason: 'answered_badly' };
    throw new ServiceError('worker_lost', details, { cause: parsed.error });
  }
}

/** Which run of a worker listens there: what is known of a static address before anything else. */
export async function readBoot(url: string, clock: Clock, deadlineMs: number): Promise<string> {
  const abort = new AbortController();
  const cancelDeadline = clock.after(deadlineMs, () => abort.abort());
  try {
    const { body, headers } = await request(new URL(bootPath, url), { signal: abort.signal, reset: true });
    await body.dump();
    const boot = headers[bootHeader];
    if (typeof boot === 'string' && boot !== '') return boot;
    throw new Error('what listens there is no worker of ours');
  } catch (error) {
    throw new ServiceError('worker_unreachable', { reason: 'no_boot' }, { cause: error });
  } finally {
    cancelDeadline();
  }
}
