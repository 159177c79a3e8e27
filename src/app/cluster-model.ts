// A cluster role's way to the model proxy that is a process of its own, and what it learns from it.

import { ModelProxyClient } from '../adapters/model-proxy-http/model-proxy-client.ts';
import { internalCredential } from '../adapters/worker-http/internal-credential.ts';
import type { ModelUpstream } from '../codex/model-door.ts';
import type { Config } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';

export type ClusterModel = {
  readonly link: ModelProxyClient;
  /** Where the slots' model doors lead. */
  readonly upstream: ModelUpstream;
};

const startTries = 30;
const tryEveryMs = 500;

/** Rejects, in words for a person, when the settings do not say where the proxy is. */
export function connectModelProxy({ modelProxy }: Config, clusterSecret: string, clock: Clock): ClusterModel {
  if (modelProxy.url === null || modelProxy.controlUrl === null) {
    const message =
      'a role of a cluster needs the model proxy: set model_proxy.url and model_proxy.control_url ' +
      '(CODEX_FLEET_MODEL_PROXY_URL, CODEX_FLEET_MODEL_PROXY_CONTROL_URL)';
    throw new ServiceError('model_unavailable', {}, { message });
  }
  const credential = internalCredential(clusterSecret, 'model-proxy', '');
  const link = new ModelProxyClient({ address: { url: modelProxy.controlUrl }, credential, clock });
  return { link, upstream: addressOf(modelProxy.url) };
}

/** The model for turns that name none: the proxy's, which alone is told of a provider. It may be starting, too. */
export async function defaultModelOf(link: ModelProxyClient, clock: Clock, logger: Logger): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    try {
      const { models } = await link.status();
      return (models.find(({ isDefault }) => isDefault) ?? models[0])?.id ?? '';
    } catch (error) {
      if (tries === startTries) throw error;
      if (tries === 1) logger.warn({ event: 'model_proxy_awaited', err: error }, 'the model proxy does not answer yet');
      await new Promise<void>((resolve) => clock.after(tryEveryMs, resolve));
    }
  }
}

function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port, protocol } = new URL(url);
  const defaultPort = protocol === 'https:' ? 443 : 80;
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? defaultPort : Number(port) };
}
