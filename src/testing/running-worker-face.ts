// A worker's internal face on a real socket, in front of a scripted worker and the real files of a
// directory; and links to it.

import type { TestContext } from 'node:test';
import { internalCredential } from '../adapters/worker-http/internal-credential.ts';
import { WorkerHttpLink, type WorkerDeadlines } from '../adapters/worker-http/worker-http-link.ts';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import type { SessionKey, WorkerLink } from '../contracts/worker-link.ts';
import { createHttpServer, type HttpServer } from '../http/server.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { type InternalFaceLimits, registerInternalFace } from '../worker/internal-face.ts';
import { type LiveWorkspace, openLiveWorkspace } from './live-workspace.ts';
import { ScriptedWorker } from './scripted-worker.ts';

export const fleetSecret = 'the secret that all roles of this fleet share';
export const faceKey: SessionKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };

export type RunningWorkerFace = {
  readonly id: string;
  readonly boot: string;
  readonly url: string;
  readonly server: HttpServer;
  readonly worker: ScriptedWorker;
  readonly records: MemoryRecords;
  readonly files: LiveWorkspace;
  /** How often a drain was asked for. */
  readonly drains: () => number;
  readonly stop: () => Promise<void>;
  /** A link to this run; closed with the test. */
  readonly link: (given?: LinkChoice) => WorkerHttpLink;
};

export type LinkChoice = {
  readonly url?: string;
  readonly boot?: string;
  readonly secret?: string;
  readonly deadlines?: Partial<WorkerDeadlines>;
};

export type FaceChoice = {
  readonly id?: string;
  readonly boot?: string;
  readonly port?: number;
  readonly limits?: Partial<InternalFaceLimits>;
  readonly records?: MemoryRecords;
  readonly log?: MemoryEventLog;
  /** Instead of the scripted worker's own answers. */
  readonly worker?: Partial<WorkerLink>;
};

export async function startWorkerFace(t: TestContext, choice: FaceChoice = {}): Promise<RunningWorkerFace> {
  const { id = 'worker-0', boot = `boot-of-${id}`, limits = {}, port = 0 } = choice;
  const { log = new MemoryEventLog(), records = new MemoryRecords() } = choice;
  const clock = new SystemClock();
  const logger = createSilentLogger();
  const server = createHttpServer({
    clock,
    logger,
    metrics: createMetrics(),
    listen: { host: '127.0.0.1', port },
  });
  const worker = new ScriptedWorker({ clock, log, records });
  const files = await openLiveWorkspace(t);
  let drains = 0;
  registerInternalFace(server.app, {
    boot,
    fleetVersion: '0.0.0',
    credential: internalCredential(fleetSecret, 'worker', boot),
    worker: withAnswers(worker, choice.worker ?? {}),
    workspace: files.link,
    drain: () => {
      drains += 1;
      worker.state = 'draining';
    },
    clock,
    logger,
    limits,
  });
  const { url } = await server.listen();
  t.after(() => server.stop());
  return {
    id,
    boot,
    url,
    server,
    worker,
    records,
    files,
    drains: () => drains,
    stop: () => server.stop(),
    link: (given = {}) => {
      const meant = given.boot ?? boot;
      const credential = internalCredential(given.secret ?? fleetSecret, 'worker', meant);
      const link = new WorkerHttpLink({
        id,
        boot: meant,
        url: given.url ?? url,
        credential,
        clock,
        ...(given.deadlines === undefined ? {} : { deadlines: given.deadlines }),
      });
      t.after(() => link.close());
      return link;
    },
  };
}

function withAnswers(worker: ScriptedWorker, answers: Partial<WorkerLink>): WorkerLink {
  return new Proxy<WorkerLink>(worker, {
    get: (_target, name) => {
      const own = answers[name as keyof WorkerLink];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(worker, name, worker);
      return typeof value === 'function' ? value.bind(worker) : value;
    },
  });
}
