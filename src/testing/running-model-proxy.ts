// A model proxy on free ports with a grant whose turn runs, for tests that call it as Codex does.

import { MemoryGrantStore } from '../adapters/memory/memory-grant-store.ts';
import { ModelProxyClient } from '../adapters/model-proxy-http/model-proxy-client.ts';
import type { Grant } from '../contracts/model-grants.ts';
import { createModelProxy } from '../model-proxy/model-proxy.ts';
import type { ModelProxy, ModelProxyOptions } from '../model-proxy/model-proxy.ts';
import { createLogger } from '../observability/logger.ts';
import { createMetrics } from '../observability/metrics.ts';
import { SystemClock } from '../observability/system-clock.ts';

export type RunningModelProxy = {
  readonly proxy: ModelProxy;
  readonly client: ModelProxyClient;
  readonly grant: Grant;
  /** Such as http://127.0.0.1:1234/v1. */
  readonly baseUrl: string;
  readonly controlUrl: string;
  readonly logText: () => string;
  /** One Responses call with the grant's credential. */
  readonly post: (body: unknown, init?: RequestInit) => Promise<Response>;
  readonly stop: () => Promise<void>;
};

export const testSession = '019a0000-0000-7000-8000-000000000001';
export const controlCredential = 'control-credential-of-the-test';

type Overrides = Partial<Omit<ModelProxyOptions, 'provider'>> & Pick<ModelProxyOptions, 'provider'>;

export async function runModelProxy(overrides: Overrides): Promise<RunningModelProxy> {
  let log = '';
  const destination = { write: (line: string): void => void (log += line) };
  const clock = new SystemClock();
  const proxy = createModelProxy({
    grantStore: new MemoryGrantStore(clock),
    dataAddress: { host: '127.0.0.1', port: 0 },
    controlAddress: { host: '127.0.0.1', port: 0 },
    controlCredential,
    clock,
    logger: createLogger({ level: 'trace', role: 'test', destination }),
    metrics: createMetrics(),
    drainMs: 0,
    ...overrides,
  });
  const { data, control } = await proxy.listen();
  const client = new ModelProxyClient({ address: control, credential: controlCredential, clock });
  const grant = await client.issue({ tenant: 'default', sessionId: testSession, epoch: 1, models: [] });
  await client.beginTurn(grant.id, 'turn-1');
  const baseUrl = `${urlOf(data)}/v1`;
  return {
    proxy,
    client,
    grant,
    baseUrl,
    controlUrl: urlOf(control),
    logText: () => log,
    post: (body, init = {}) =>
      fetch(`${baseUrl}/responses`, {
        method: 'POST',
        ...init,
        headers: {
          authorization: `Bearer ${grant.credential}`,
          'content-type': 'application/json',
          ...(init.headers as Record<string, string> | undefined),
        },
        body: Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body),
      }),
    stop: async () => {
      await client.close();
      await proxy.stop();
    },
  };
}

function urlOf(address: ModelProxyOptions['dataAddress']): string {
  return 'path' in address ? `unix:${address.path}` : `http://${address.host}:${address.port}`;
}
