// What a gateway is made of and how much it takes. Everything is given from outside; nothing here is
// kept that a restart would miss.

import type { ReceiverRules } from '../api/receiver-url.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import { noOutbox, type Outbox } from '../contracts/outbox.ts';
import type { RateLimiter } from '../contracts/rate-limiter.ts';
import type { Records } from '../contracts/records.ts';
import type { TicketStore } from '../contracts/ticket-store.ts';
import type { WorkerLink, WorkerStatus } from '../contracts/worker-link.ts';
import type { WorkspaceLink } from '../contracts/workspace-link.ts';
import type { Clock } from '../core/clock.ts';
import type { TenantId, WorkerId } from '../core/ids.ts';
import type { SandboxMode } from '../core/session.ts';
import type { TokenEntry } from '../http/bearer.ts';
import type { ListenAddress } from '../http/listener.ts';
import type { HttpLimits } from '../http/server.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { noTracing, type Tracing } from '../observability/tracing.ts';
import { fleetOfOne } from './fleet-of-one.ts';
import { KeyOrder } from '../core/key-order.ts';
import { TurnRate } from './turn-rate.ts';

export type GatewayLimits = {
  readonly defaultTimeoutMs: number;
  readonly maxTimeoutMs: number;
  readonly defaultQueueTimeoutMs: number;
  readonly maxQueueTimeoutMs: number;
  /** For an approval of a session that does not say. */
  readonly defaultApprovalTimeoutMs: number;
  /** How long exec waits when the caller does not say; also the most. */
  readonly maxWaitMs: number;
  /** Codex itself takes no more than the default. */
  readonly maxPromptCodePoints: number;
  /** Of one tenant, at all gateways; 0: as many as it likes. */
  readonly turnsPerMinute: number;
  /** Of one tenant: jobs that have not ended, schedules, webhooks. */
  readonly maxOpenJobs: number;
  readonly maxSchedules: number;
  readonly maxWebhooks: number;
  /** Bodies with prompts in them. */
  readonly promptBodyBytes: number;
  /** Bodies that are a file, or an archive. */
  readonly fileBytes: number;
  readonly archiveBytes: number;
  /** For such a body to arrive. */
  readonly uploadMs: number;
  readonly heartbeatMs: number;
  /** What may wait for one slow reader before its stream is cut. */
  readonly connectionBufferBytes: number;
  /** How long a reader may take nothing at all. */
  readonly stallMs: number;
  readonly wsFrameBytes: number;
  readonly streamsPerSocket: number;
  readonly ticketTtlMs: number;
  readonly ticketsPerTenant: number;
  /** For a worker to take a turn or to end one. */
  readonly workerDeadlineMs: number;
};

export const defaultGatewayLimits: GatewayLimits = {
  defaultTimeoutMs: 30 * 60_000,
  maxTimeoutMs: 24 * 60 * 60_000,
  defaultQueueTimeoutMs: 5 * 60_000,
  maxQueueTimeoutMs: 24 * 60 * 60_000,
  defaultApprovalTimeoutMs: 24 * 3_600_000,
  maxWaitMs: 600_000,
  maxPromptCodePoints: 1_048_576,
  turnsPerMinute: 0,
  maxOpenJobs: 10_000,
  maxSchedules: 100,
  maxWebhooks: 20,
  promptBodyBytes: 16 * 1024 * 1024,
  fileBytes: 256 * 1024 * 1024,
  archiveBytes: 2 * 1024 * 1024 * 1024,
  uploadMs: 60 * 60_000,
  heartbeatMs: 15_000,
  connectionBufferBytes: 1024 * 1024,
  stallMs: 30_000,
  wsFrameBytes: 1024 * 1024,
  streamsPerSocket: 64,
  ticketTtlMs: 30_000,
  ticketsPerTenant: 1000,
  workerDeadlineMs: 30_000,
};

/** The workers one by one, where there may be several. */
export type FleetControl = {
  /** Those that are known, whether or not they answer. */
  workers(): Promise<readonly WorkerStatus[]>;
  /** Begins the drain. Rejects with `worker_not_found`. */
  drainWorker(id: WorkerId): Promise<void>;
};

export type GatewayParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly records: Records;
  readonly log: EventLog;
  readonly worker: WorkerLink;
  readonly workspace: WorkspaceLink;
  /** Absent: `worker` is the only one, and cannot be drained by itself. */
  readonly fleet?: FleetControl;
  /** Whose credentials may drain a worker, which takes it from all tenants. Default: that of the data directory's token. */
  readonly operatorTenant?: TenantId;
  /** They go on when this gateway stops: turns that it was asked for are taken for as long as anybody can ask. */
  readonly outlivedByWorkers?: boolean;
  /** Of all gateways: a ticket that one issued opens a socket at another. */
  readonly ticketStore: TicketStore;
  readonly rateLimiter: RateLimiter;
  /** Where what happens here is told. Default: nowhere. */
  readonly outbox?: Outbox;
  /** A job was made, or is to be looked at: whoever runs jobs in this process need not wait for its next look. */
  readonly onJobMade?: () => void;
  /** Where webhooks may lead. Default: to public addresses, by https. */
  readonly receivers?: ReceiverRules;
  /** The disk is nearly full: nothing new is taken, so that what runs can be recorded. Absent: it never is. */
  readonly isStorageLow?: () => boolean;
  /** As SessionDirectory.knownForMs, of what keeps the log. Absent: it loses nothing. */
  readonly logKnownForMs?: () => Promise<number>;
  /** Absent: GET /api/v1/models answers an empty list. */
  readonly models?: () => Promise<ModelProviderStatus>;
  /** The item of a line that Codex wrote, where the event had to be cut; null when it cannot be told. */
  readonly wholeItem?: (rawLine: string) => Readonly<Record<string, unknown>> | null;
  readonly tokens: readonly TokenEntry[];
  /** Reads /metrics and nothing else. Absent: only the other credentials do. */
  readonly metricsToken?: string | null;
  /** Turns an Idempotency-Key into ids: the same in every replica and after every restart. */
  readonly idempotencySecret: string | Uint8Array;
  readonly version: string;
  readonly listen: ListenAddress;
  /** Origins of browsers' pages that may call, beside our own. */
  readonly allowedOrigins?: readonly string[];
  /** Names by which a listener on loopback may be called, beside those of loopback. */
  readonly allowedHosts?: readonly string[];
  readonly defaultSandbox?: SandboxMode;
  /** What a client may choose. */
  readonly allowedSandboxes?: readonly SandboxMode[];
  /** The project whose traces the log lines name. */
  readonly gcpProject?: string | null;
  readonly tracing?: Tracing;
  /** Whether prompts are written to the log. */
  readonly logPrompts?: boolean;
  readonly limits?: Partial<GatewayLimits>;
  readonly httpLimits?: Partial<HttpLimits>;
};

/** The parts with nothing optional left that has a default. */
export type Gear = Required<
  Omit<GatewayParts, 'limits' | 'httpLimits' | 'models' | 'wholeItem' | 'fleet' | 'outlivedByWorkers'>
> & {
  readonly limits: GatewayLimits;
  /** Aborted once no new turn is taken. */
  readonly draining: AbortSignal;
  readonly keyOrder: KeyOrder;
  readonly turnRate: TurnRate;
  readonly fleet: FleetControl;
  readonly models: (() => Promise<ModelProviderStatus>) | null;
  readonly wholeItem: (rawLine: string) => Readonly<Record<string, unknown>> | null;
};

export function gearOf(parts: GatewayParts, draining: AbortSignal): Gear {
  const limits = { ...defaultGatewayLimits, ...parts.limits };
  return {
    ...parts,
    draining: parts.outlivedByWorkers === true ? new AbortController().signal : draining,
    keyOrder: new KeyOrder(),
    turnRate: new TurnRate({ ...parts, limits }),
    fleet: parts.fleet ?? fleetOfOne(parts.worker, null),
    operatorTenant: parts.operatorTenant ?? 'default',
    outbox: parts.outbox ?? noOutbox,
    onJobMade: parts.onJobMade ?? (() => undefined),
    receivers: parts.receivers ?? { allowHttp: false, allowPrivate: [] },
    models: parts.models ?? null,
    isStorageLow: parts.isStorageLow ?? (() => false),
    logKnownForMs: parts.logKnownForMs ?? (async () => Infinity),
    wholeItem: parts.wholeItem ?? (() => null),
    allowedOrigins: parts.allowedOrigins ?? [],
    allowedHosts: parts.allowedHosts ?? [],
    metricsToken: parts.metricsToken ?? null,
    gcpProject: parts.gcpProject ?? null,
    tracing: parts.tracing ?? noTracing,
    logPrompts: parts.logPrompts ?? false,
    defaultSandbox: parts.defaultSandbox ?? 'workspace-write',
    allowedSandboxes: parts.allowedSandboxes ?? ['read-only', 'workspace-write'],
    limits,
  };
}
