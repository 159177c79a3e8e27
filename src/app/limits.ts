// The limits of the doors, as the configuration states them.

import type { Config } from '../config/resolve.ts';
import type { GatewayLimits } from '../gateway/gateway-parts.ts';
import type { HttpLimits } from '../http/server.ts';

export function gatewayLimits({ jobs, limits, server, sessions, turns, webhooks }: Config): Partial<GatewayLimits> {
  return {
    defaultTimeoutMs: turns.timeoutMs,
    maxTimeoutMs: turns.maxTimeoutMs,
    defaultQueueTimeoutMs: turns.queueTimeoutMs,
    defaultApprovalTimeoutMs: sessions.approvalTimeoutMs,
    maxWaitMs: turns.waitMs,
    maxPromptCodePoints: turns.maxPromptCodePoints,
    turnsPerMinute: limits.turnsPerMinute,
    maxOpenJobs: jobs.maxOpenPerTenant,
    maxSchedules: jobs.maxSchedulesPerTenant,
    maxWebhooks: webhooks.maxPerTenant,
    promptBodyBytes: server.bodyLimitExecBytes,
    heartbeatMs: server.heartbeatMs,
    connectionBufferBytes: server.connectionBufferBytes,
    stallMs: server.stallTimeoutMs,
    wsFrameBytes: server.frameLimitBytes,
    streamsPerSocket: server.streamsPerSocket,
  };
}

export function httpLimits({ server }: Config): Partial<HttpLimits> {
  return {
    bodyBytes: server.bodyLimitBytes,
    headerBytes: server.headerLimitBytes,
    answerTimeoutMs: server.answerTimeoutMs,
    maxConnections: server.maxConnections,
    headersTimeoutMs: server.headersTimeoutMs,
    requestTimeoutMs: server.requestTimeoutMs,
    keepAliveTimeoutMs: server.keepAliveTimeoutMs,
  };
}
