// What a gateway is told by the settings, wherever it runs.

import { addressRanges } from '../api/receiver-url.ts';
import type { Config } from '../config/resolve.ts';
import type { SandboxMode } from '../core/session.ts';
import { defaultGatewayLimits, type GatewayLimits, type GatewayParts } from '../gateway/gateway-parts.ts';
import { gatewayLimits, httpLimits } from './limits.ts';
import { fleetVersion } from './version.ts';

export type GatewaySettings = Pick<
  GatewayParts,
  | 'version'
  | 'listen'
  | 'allowedOrigins'
  | 'allowedHosts'
  | 'allowedSandboxes'
  | 'defaultSandbox'
  | 'gcpProject'
  | 'metricsToken'
  | 'logPrompts'
  | 'httpLimits'
  | 'receivers'
> & { readonly limits: GatewayLimits };

export function gatewaySettings(config: Config): GatewaySettings {
  const { log, metrics, server, sessions, webhooks } = config;
  return {
    version: fleetVersion,
    listen: { host: server.host, port: server.port },
    allowedOrigins: server.allowedOrigins,
    allowedHosts: server.allowedHosts,
    allowedSandboxes: sessions.sandboxes,
    defaultSandbox: defaultSandbox(sessions.sandboxes),
    gcpProject: log.gcpProject,
    metricsToken: metrics.token,
    logPrompts: log.prompts,
    limits: { ...defaultGatewayLimits, ...gatewayLimits(config) },
    httpLimits: httpLimits(config),
    receivers: { allowHttp: webhooks.allowHttp, allowPrivate: addressRanges(webhooks.allowPrivate) },
  };
}

function defaultSandbox(allowed: readonly SandboxMode[]): SandboxMode {
  return allowed.includes('workspace-write') ? 'workspace-write' : (allowed[0] ?? 'read-only');
}
