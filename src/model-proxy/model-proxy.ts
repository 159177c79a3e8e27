// The model proxy, put together: two faces over one table of grants and one provider. It alone holds
// the real key, so it belongs in a process of its own, started with an environment of its own.

import type { GrantStore } from '../contracts/grant-store.ts';
import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import type { ListenAddress } from '../http/listener.ts';
import type { ScrapeCredential } from '../http/scrape-credential.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { noTracing, type Tracing } from '../observability/tracing.ts';
import { createControlFace } from './control-face.ts';
import { createDataFace } from './data-face.ts';
import { defaultForwardTimeouts, Forwarder } from './forward.ts';
import type { ForwardTimeouts } from './forward.ts';
import { defaultGrantLimits, GrantTable } from './grants.ts';
import type { GrantLimits } from './grants.ts';
import { createKeyScrubber } from './key-scrubber.ts';
import { Listener } from './listener.ts';
import { createProvider } from './providers.ts';
import type { ProviderOptions } from './providers.ts';
import { BodyBudget, defaultBodyLimits } from './request-body.ts';
import type { BodyLimits } from './request-body.ts';
import { defaultRetryLimits, RetryBudget } from './retry.ts';
import type { RetryLimits } from './retry.ts';
import { SharedGrants } from './shared-grants.ts';

export type ModelProxyOptions = {
  /** Where Codex's calls arrive. */
  readonly dataAddress: ListenAddress;
  /** Where the worker's commands arrive; must not be reachable from a cage. */
  readonly controlAddress: ListenAddress;
  /** The bearer token of the control face. */
  readonly controlCredential: string;
  /** Reads the control face's /metrics and nothing else. */
  readonly scrape?: ScrapeCredential;
  readonly provider: ProviderOptions;
  /** What this proxy knows together with others. */
  readonly grantStore: GrantStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing?: Tracing;
  readonly timeouts?: Partial<ForwardTimeouts>;
  readonly grantLimits?: Partial<GrantLimits>;
  readonly bodyLimits?: Partial<BodyLimits>;
  readonly retryLimits?: Partial<RetryLimits>;
  /** How long calls under way may go on after stop() was called. */
  readonly drainMs?: number;
};

export type ModelProxyAddresses = { readonly data: ListenAddress; readonly control: ListenAddress };

export interface ModelProxy {
  /** Resolves when both faces take requests. When one cannot, the other is closed again. */
  listen(): Promise<ModelProxyAddresses>;
  /**
   * Not ready at once. Goes on serving until no call is under way or the drain time is over, then cuts what is
   * left, so that it is asked for again, and ends everything. Twice is the same promise; `hurry` ends the drain.
   */
  stop(drainMs?: number): Promise<void>;
  hurry(): void;
  status(): ModelProviderStatus;
}

const dataRequestTimeoutMs = 120_000;
const controlRequestTimeoutMs = 10_000;
const defaultDrainMs = 2000;
const lookWhileDrainingMs = 50;
/** For answers that are on their way. */
const lastBytesMs = 500;
const modelRefreshMs = 60_000;

export function createModelProxy(options: ModelProxyOptions): ModelProxy {
  const { clock, logger, metrics } = options;
  const provider = createProvider(options.provider, clock);
  const table = new GrantTable({ ...defaultGrantLimits, ...options.grantLimits });
  const grants = new SharedGrants({ table, store: options.grantStore, clock, logger });
  const forwarder = new Forwarder({
    upstream: provider.upstream,
    grants,
    bodies: new BodyBudget({ ...defaultBodyLimits, ...options.bodyLimits }),
    retries: new RetryBudget({ ...defaultRetryLimits, ...options.retryLimits }, clock),
    scrubKey: createKeyScrubber(options.provider.apiKey),
    timeouts: { ...defaultForwardTimeouts, ...options.timeouts },
    clock,
    logger,
    metrics,
    tracing: options.tracing ?? noTracing,
    providerName: options.provider.kind === 'responses' ? 'openai' : options.provider.kind,
  });
  let isReady = false;
  let isHurried = false;
  let stopping: Promise<void> | null = null;
  let cancelRefresh = (): void => {};

  const dataFace = createDataFace({ forwarder, grants, status: () => provider.status() });
  const dataListener = new Listener({
    address: options.dataAddress,
    clock,
    handler: (request, response) => {
      // The next call is better made to another proxy.
      if (stopping !== null) response.setHeader('connection', 'close');
      dataFace(request, response);
    },
    requestTimeoutMs: dataRequestTimeoutMs,
  });
  const controlListener = new Listener({
    address: options.controlAddress,
    clock,
    handler: createControlFace({
      grants,
      credential: options.controlCredential,
      scrape: options.scrape,
      status: () => provider.status(),
      isReady: () => isReady,
      metrics,
      logger,
    }),
    requestTimeoutMs: controlRequestTimeoutMs,
  });

  async function refreshModels(): Promise<void> {
    await provider.refreshModels();
    if (stopping === null) cancelRefresh = clock.after(modelRefreshMs, () => void refreshModels());
  }

  async function stopAll(drainMs: number): Promise<void> {
    isReady = false;
    cancelRefresh();
    const endMs = clock.monotonicMs() + drainMs;
    while (grants.openCallCount > 0 && !isHurried && clock.monotonicMs() < endMs) {
      await new Promise<void>((resolve) => clock.after(lookWhileDrainingMs, resolve));
    }
    const cut = grants.stop();
    await Promise.all([dataListener.stop(lastBytesMs), controlListener.stop(0), cut]);
    await provider.upstream.close();
    logger.info({ event: 'model_proxy_stopped' }, 'Model proxy stopped');
  }

  return {
    async listen() {
      const control = await controlListener.listen();
      grants.start();
      try {
        const data = await dataListener.listen();
        void refreshModels();
        isReady = true;
        const { provider: kind, baseUrl } = provider.status();
        logger.info(
          { event: 'model_proxy_ready', provider: kind, base_url: baseUrl, data, control },
          'Model proxy ready',
        );
        return { data, control };
      } catch (error) {
        await Promise.all([controlListener.stop(0), grants.stop()]);
        throw error;
      }
    },
    stop(drainMs = options.drainMs ?? defaultDrainMs) {
      stopping ??= stopAll(drainMs);
      return stopping;
    },
    hurry() {
      isHurried = true;
    },
    status: () => provider.status(),
  };
}
