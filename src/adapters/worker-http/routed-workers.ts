// The workers of a fleet as one: each call goes to the worker whose it is, or to one that is chosen for it.
// Owns what is known of the workers and the links to them; how a session's worker is found is session-route.ts.

import type { SessionDirectory } from '../../contracts/session-directory.ts';
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
import type { KnownWorker, WorkerRegistry } from '../../contracts/worker-registry.ts';
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
import type { Logger } from '../../observability/logger.ts';
import type { Metrics } from '../../observability/metrics.ts';
import { LinkCache, type WorkerAddress } from './link-cache.ts';
import { SessionHolders } from './session-holders.ts';
import { SessionRoute } from './session-route.ts';
import { resolveAddresses, StaticWorkers } from './static-workers.ts';
import { readBoot, type RemoteWorker } from './worker-http-link.ts';
import { WorkerView } from './worker-view.ts';

export type RoutedWorkersParts = {
  readonly registry: Pick<WorkerRegistry, 'list'>;
  readonly directory: Pick<SessionDirectory, 'lookup'>;
  /** Made once for each run of a worker, and closed here. */
  readonly links: (address: WorkerAddress) => RemoteWorker;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'placements'>;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  /** How long a holder that drains or is gone is waited for, while its lease stands. */
  readonly holderWaitMs?: number;
  /** How long a fleet is waited for in which nobody takes sessions. */
  readonly nobodyWaitMs?: number;
  /** Workers beside those that register; a name may stand for many. */
  readonly staticUrls?: readonly string[];
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Which run listens at a static address. */
  readonly readBoot?: (url: string) => Promise<string>;
};

const defaultHolderWaitMs = 8000;
const defaultNobodyWaitMs = 3000;
const bootDeadlineMs = 2000;

export class RoutedWorkers implements WorkerLink, WorkspaceLink {
  readonly #links: LinkCache;
  readonly #logger: Logger;
  readonly #view: WorkerView;
  readonly #route: SessionRoute;

  constructor(parts: RoutedWorkersParts) {
    const { clock, directory, heartbeatMs, leaseMs, logger, metrics, random, registry } = parts;
    this.#logger = logger;
    this.#links = new LinkCache(parts.links, logger);
    const statics = new StaticWorkers({
      urls: parts.staticUrls ?? [],
      resolve: parts.resolve ?? resolveAddresses,
      readBoot: parts.readBoot ?? ((url) => readBoot(url, clock, bootDeadlineMs)),
      links: this.#links,
      clock,
      logger,
    });
    this.#view = new WorkerView({ registry, statics, links: this.#links, clock, logger, heartbeatMs, leaseMs });
    this.#route = new SessionRoute({
      view: this.#view,
      holders: new SessionHolders(directory, clock),
      clock,
      logger,
      metrics,
      random,
      holderWaitMs: parts.holderWaitMs ?? defaultHolderWaitMs,
      nobodyWaitMs: parts.nobodyWaitMs ?? defaultNobodyWaitMs,
    });
  }

  /** Follows the fleet until it is stopped. */
  start(): void {
    this.#view.start();
  }

  /** Ends the calls that are under way. */
  async stop(): Promise<void> {
    this.#view.stop();
    await this.#links.close();
  }

  workers(): Promise<readonly KnownWorker[]> {
    return this.#view.all();
  }

  /** Rejects with `worker_not_found`. */
  async drainWorker(id: WorkerId): Promise<void> {
    const worker = await this.#view.find(id);
    if (worker === null) throw new ServiceError('worker_not_found', { worker: id });
    await this.#view.linkTo(worker).drain();
    await this.#view.refresh();
  }

  startTurn(key: TurnKey, options: StartOptions = {}): Promise<void> {
    return this.#route.ask(key, (worker) => worker.startTurn(key, options));
  }

  cancelTurn(key: TurnKey): Promise<void> {
    return this.#route.ask(key, (worker) => worker.cancelTurn(key));
  }

  steerTurn(key: TurnKey, steerId: string, text: string): Promise<void> {
    return this.#route.ask(key, (worker) => worker.steerTurn(key, steerId, text));
  }

  async approvalSettled(key: SessionKey, approvalId: string): Promise<void> {
    await this.#route.askHolder(key, (worker) => worker.approvalSettled(key, approvalId));
  }

  hibernateSession(key: SessionKey): Promise<void> {
    return this.#route.ask(key, (worker) => worker.hibernateSession(key));
  }

  wakeSession(key: SessionKey): Promise<void> {
    return this.#route.ask(key, (worker) => worker.wakeSession(key));
  }

  /** `lost`: the worker that is known to be gone. Its lease is not heeded, and it is not asked. */
  recoverSession(key: SessionKey, lost: WorkerId | null = null): Promise<void> {
    return this.#route.ask(key, (worker) => worker.recoverSession(key), { lost });
  }

  runCommand(request: CommandRequest): Promise<CommandResult> {
    return this.#route.ask(request.key, (worker) => worker.runCommand(request));
  }

  /** The others may have files of it that rest since they had it: they remove them, as far as they answer. */
  async eraseSession(key: SessionKey): Promise<void> {
    let first: WorkerId | null = null;
    await this.#route.ask(key, (worker, id) => {
      first = id;
      return worker.eraseSession(key);
    });
    const others = (await this.#view.all()).filter(({ id }) => id !== first);
    await Promise.all(
      others.map((other) =>
        this.#view
          .linkTo(other)
          .eraseSession(key)
          .catch((error: unknown) =>
            this.#logger.debug(
              { event: 'session_not_cleared', session_id: key.sessionId, worker_id: other.id, err: error },
              'a worker could not be asked to clear an erased session away',
            ),
          ),
      ),
    );
  }

  /** Of the fleet as a whole. Rejects with `no_worker_ready` when there is no worker at all. */
  async status(): Promise<WorkerStatus> {
    await this.#view.all();
    const workers = this.#view.candidates().map(({ worker }) => worker);
    const [first, ...rest] = workers;
    if (first === undefined) throw new ServiceError('no_worker_ready');
    const sum = (of: (worker: KnownWorker) => number): number => workers.reduce((total, one) => total + of(one), 0);
    const weakest = (of: (worker: KnownWorker) => boolean): KnownWorker => workers.find(of) ?? first;
    const { cage, cageProblem } = weakest(({ isolation }) => isolation.cage === 'none').isolation;
    const inner = weakest(({ isolation }) => isolation.innerSandbox === 'none').isolation;
    return {
      id: rest.length === 0 ? first.id : 'fleet',
      state: workers.some(({ state }) => state === 'ready') ? 'ready' : 'draining',
      slots: {
        limit: sum(({ slots }) => slots.limit),
        starting: sum(({ slots }) => slots.starting),
        idle: sum(({ slots }) => slots.idle),
        bound: sum(({ slots }) => slots.bound),
      },
      busySessions: sum(({ busySessions }) => busySessions),
      waitingTurns: sum(({ waitingTurns }) => waitingTurns),
      isolation: {
        cage,
        cageProblem,
        innerSandbox: inner.innerSandbox,
        innerSandboxProblem: inner.innerSandboxProblem,
      },
      codexVersion: [...new Set(workers.map(({ codexVersion }) => codexVersion))].toSorted().join(', '),
      startedAt: Math.min(...workers.map(({ startedAt }) => startedAt)),
    };
  }

  listFiles(key: SessionKey, query: FileQuery): Promise<{ data: readonly FileEntry[]; hasMore: boolean }> {
    return this.#route.look(key, (worker) => worker.listFiles(key, query));
  }

  readFile(key: SessionKey, path: string, range: ByteRange | null): Promise<FileContent> {
    return this.#route.look(key, (worker) => worker.readFile(key, path, range));
  }

  writeFile(key: SessionKey, write: FileWrite): Promise<{ etag: string; isNew: boolean }> {
    const upload = onceRead(write.content);
    const ask = (worker: RemoteWorker): Promise<{ etag: string; isNew: boolean }> =>
      worker.writeFile(key, { ...write, content: upload.content });
    return this.#route.ask(key, ask, { canRepeat: upload.isUntouched });
  }

  deleteFile(key: SessionKey, path: string, ifMatch: string | null): Promise<void> {
    return this.#route.ask(key, (worker) => worker.deleteFile(key, path, ifMatch));
  }

  readArchive(key: SessionKey, path: string, format: ArchiveFormat): Promise<AsyncIterable<Uint8Array>> {
    return this.#route.look(key, (worker) => worker.readArchive(key, path, format));
  }

  writeArchive(
    key: SessionKey,
    path: string,
    format: ArchiveFormat,
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ files: number; bytes: number }> {
    const upload = onceRead(content);
    const ask = (worker: RemoteWorker): Promise<{ files: number; bytes: number }> =>
      worker.writeArchive(key, path, format, upload.content);
    return this.#route.ask(key, ask, { canRepeat: upload.isUntouched });
  }

  diff(key: SessionKey, base: DiffBase): Promise<readonly FileDiff[]> {
    return this.#route.look(key, (worker) => worker.diff(key, base));
  }
}

/** A body comes once: whether it was begun decides whether another worker can have it. */
function onceRead(content: AsyncIterable<Uint8Array>): {
  readonly content: AsyncIterable<Uint8Array>;
  readonly isUntouched: () => boolean;
} {
  let isTouched = false;
  const once = {
    [Symbol.asyncIterator]: () => {
      isTouched = true;
      return content[Symbol.asyncIterator]();
    },
  };
  return { content: once, isUntouched: () => !isTouched };
}
