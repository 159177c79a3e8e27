// What a gateway is made of and how much it takes. Everything is given from outside; nothing here is
// kept that a restart would miss.

import type { EventLog } from '../contracts/event-log.ts';
import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import type { Records } from '../contracts/records.ts';
import type { WorkerLink } from '../contracts/worker-link.ts';
import type { WorkspaceLink } from '../contracts/workspace-link.ts';
import type { Clock } from '../core/clock.ts';
import type { SandboxMode } from '../core/session.ts';
import type { TokenEntry } from '../http/bearer.ts';
import type { ListenAddress } from '../http/listener.ts';
import type { HttpLimits } from '../http/server.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { KeyOrder } from './key-order.ts';

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

export type GatewayParts = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly records: Records;
  readonly log: EventLog;
  readonly worker: WorkerLink;
  readonly workspace: WorkspaceLink;
  /** The disk is nearly full: nothing new is taken, so that what runs can be recorded. Absent: it never is. */
  readonly isStorageLow?: () => boolean;
  /** Absent: GET /api/v1/models answers an empty list. */
  readonly models?: () => Promise<ModelProviderStatus>;
  /** The item of a line that Codex wrote, where the event had to be cut; null when it cannot be told. */
  readonly wholeItem?: (rawLine: string) => Readonly<Record<string, unknown>> | null;
  readonly tokens: readonly TokenEntry[];
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
  /** Whether prompts are written to the log. */
  readonly logPrompts?: boolean;
  readonly limits?: Partial<GatewayLimits>;
  readonly httpLimits?: Partial<HttpLimits>;
};

/** The parts with nothing optional left that has a default. */
export type Gear = Required<Omit<GatewayParts, 'limits' | 'httpLimits' | 'models' | 'wholeItem'>> & {
  readonly limits: GatewayLimits;
  /** Aborted once nothing new is taken. */
  readonly draining: AbortSignal;
  readonly keyOrder: KeyOrder;
  readonly models: (() => Promise<ModelProviderStatus>) | null;
  readonly wholeItem: (rawLine: string) => Readonly<Record<string, unknown>> | null;
};

export function gearOf(parts: GatewayParts, draining: AbortSignal): Gear {
  return {
    ...parts,
    draining,
    keyOrder: new KeyOrder(),
    models: parts.models ?? null,
    isStorageLow: parts.isStorageLow ?? (() => false),
    wholeItem: parts.wholeItem ?? (() => null),
    allowedOrigins: parts.allowedOrigins ?? [],
    allowedHosts: parts.allowedHosts ?? [],
    gcpProject: parts.gcpProject ?? null,
    logPrompts: parts.logPrompts ?? false,
    defaultSandbox: parts.defaultSandbox ?? 'workspace-write',
    allowedSandboxes: parts.allowedSandboxes ?? ['read-only', 'workspace-write'],
    limits: { ...defaultGatewayLimits, ...parts.limits },
  };
}
