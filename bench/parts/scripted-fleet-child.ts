// Gateway, worker and stores as the embedded fleet has them, around scripted agents, in one process;
// beside them a door that hands turns to the same worker with nothing of the gateway in between.

import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { MemoryEventLog } from '../../src/adapters/memory/memory-event-log.ts';
import { MemoryRateLimiter } from '../../src/adapters/memory/memory-rate-limiter.ts';
import { MemoryRecords } from '../../src/adapters/memory/memory-records.ts';
import { MemorySnapshotStore } from '../../src/adapters/memory/memory-snapshot-store.ts';
import { MemoryTicketStore } from '../../src/adapters/memory/memory-ticket-store.ts';
import { MemorySessionDirectory } from '../../src/adapters/memory/memory-session-directory.ts';
import { startWorkerParts } from '../../src/app/worker-parts.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import type { ModelGrants } from '../../src/contracts/model-grants.ts';
import type { WorkerLink } from '../../src/contracts/worker-link.ts';
import { noOutbox } from '../../src/contracts/outbox.ts';
import { formatCursor, type StoredEvent } from '../../src/core/event.ts';
import { mintId } from '../../src/core/ids.ts';
import { newTurn } from '../../src/core/turn.ts';
import { createGateway } from '../../src/gateway/gateway.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { noTracing } from '../../src/observability/tracing.ts';
import { noWorkspace } from '../../src/testing/no-workspace.ts';
import { scriptedAgent } from './scripted-agent.ts';
import type { AppendJob, ScriptedFleetJob, ScriptedFleetReady } from './scripted-fleet-facts.ts';
import { scriptedToken } from './scripted-fleet-facts.ts';
import { serveParent } from './serve-parent.ts';

const tenant = 'default';
const clock = new SystemClock();
const records = new MemoryRecords();
const log = new MemoryEventLog();
const logger = createLogger({ level: 'info', role: 'embedded' });
const metrics = createMetrics();
const grants: ModelGrants = {
  issue: async () => ({ id: mintId(), credential: 'none' }),
  beginTurn: async () => {},
  endTurn: async () => {},
  revoke: async () => {},
};
const lastSeqs = new Map<string, number>();

serveParent({ start, append, lastSeq: async (sessionId: string) => await lastSeqOf(sessionId) }, async () => {});

async function start({ dataDir, slots }: ScriptedFleetJob): Promise<ScriptedFleetReady> {
  const { config } = loadConfigFromProcess({ '--data-dir': dataDir, '--slots': String(slots), '--warm-slots': '1' });
  const { worker } = await startWorkerParts({
    config,
    dir: path.join(dataDir, 'worker'),
    outbox: noOutbox,
    codex: {
      version: '0.0.0',
      isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'bubblewrap', innerSandboxProblem: null },
      startAgent: async (slot) => {
        for (const place of ['ws', 'home', 'tmp']) await mkdir(path.join(slot.dir, place), { recursive: true });
        return scriptedAgent(clock, (message, line) => slot.listener?.onNotification(message, line));
      },
    },
    stores: {
      kind: 'memory',
      log,
      records,
      directory: new MemorySessionDirectory(clock),
      snapshots: new MemorySnapshotStore(),
      dropEventsBefore: async () => 0,
      close: async () => {},
    },
    reserve: null,
    grants,
    clock,
    logger,
    metrics,
    tracing: noTracing,
  });
  const gateway = createGateway({
    clock,
    logger,
    metrics,
    records,
    log,
    worker,
    workspace: noWorkspace,
    ticketStore: new MemoryTicketStore(clock),
    rateLimiter: new MemoryRateLimiter(clock),
    tokens: [{ tokenSha256: createHash('sha256').update(scriptedToken).digest('hex'), tenant, name: 'bench' }],
    idempotencySecret: 'secret-of-the-benchmark',
    version: '0.0.0',
    listen: { host: '127.0.0.1', port: 0 },
    httpLimits: { maxConnections: 20_000 },
  });
  const { url } = await gateway.listen();
  const direct = createServer((request, response) => void handOver(worker, request, response));
  await new Promise<void>((resolve) => direct.listen(0, '127.0.0.1', resolve));
  return { url, directUrl: `http://127.0.0.1:${(direct.address() as AddressInfo).port}` };
}

/** POST /{session id} with {prompt}: the turn's record, the worker, 202. */
async function handOver(worker: WorkerLink, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  const { prompt } = JSON.parse(Buffer.concat(pieces).toString('utf8')) as { prompt: string };
  const sessionId = (request.url ?? '').slice(1);
  const id = mintId();
  await records.turns.create({
    tenant,
    id,
    sessionId,
    ...newTurn,
    prompt,
    model: null,
    effort: null,
    outputSchema: null,
    timeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    requestHash: null,
    createdAt: clock.now(),
  });
  await worker.startTurn({ tenant, sessionId, turnId: id });
  const body = JSON.stringify({ id, session_id: sessionId, status: 'queued' });
  response.writeHead(202, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}

/** Events as a worker appends them, so that what follows is the gateway's work; answers how many. */
async function append({ eventsPerTick, sessionIds, textBytes, tickMs, ticks }: AppendJob): Promise<number> {
  const text = 'x'.repeat(textBytes);
  const startedMs = performance.now();
  for (let tick = 0; tick < ticks; tick += 1) {
    for (const [place, sessionId] of sessionIds.entries()) {
      // Streams are not in step: each session has its own moment within the tick.
      const dueMs = startedMs + tick * tickMs + (place * tickMs) / sessionIds.length;
      const aheadMs = dueMs - performance.now();
      if (aheadMs > 0.5) await new Promise((resolve) => setTimeout(resolve, aheadMs));
      const lastSeq = lastSeqs.get(sessionId) ?? (await lastSeqOf(sessionId));
      lastSeqs.set(sessionId, lastSeq + eventsPerTick);
      const events = Array.from({ length: eventsPerTick }, (_, at) => delta(sessionId, lastSeq + 1 + at, text));
      await log.append({ tenant, sessionId }, 1, events);
    }
  }
  return ticks * sessionIds.length * eventsPerTick;
}

async function lastSeqOf(sessionId: string): Promise<number> {
  return (await log.read({ tenant, sessionId }, 0, 1)).lastSeq;
}

function delta(sessionId: string, seq: number, text: string): StoredEvent {
  const at = clock.now();
  const type = 'item.delta';
  const envelope = { seq, cursor: formatCursor({ epoch: 1, seq }), type, session_id: sessionId, turn_id: sessionId };
  const body = JSON.stringify({
    ...envelope,
    at: new Date(at).toISOString(),
    item_id: 'm',
    kind: 'agent_message',
    delta: text,
  });
  return {
    version: 1,
    header: { tenant, sessionId, turnId: sessionId, epoch: 1, seq, type, at, checksum: seq },
    body,
    raw: null,
  };
}
