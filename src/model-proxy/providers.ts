// The model providers: where calls go, with which key, and which models may be named. Choosing among
// them is the configuration's.

import type { ModelProviderStatus } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import { DemoModel, demoModelId } from './demo-model/demo-model.ts';
import { displayUrl, HttpUpstream } from './http-upstream.ts';
import type { Upstream } from './upstream.ts';

export type ProviderOptions = {
  readonly kind: ModelProviderStatus['provider'];
  /** null: the provider's own address; `responses` has none and needs it given. */
  readonly baseUrl: string | null;
  readonly apiKey: string | null;
  /** What sessions use that name no model; the demo model has its own. */
  readonly defaultModel: string | null;
  /** Offered beside the default; empty: what the provider lists, where it is asked. */
  readonly models: readonly string[];
  readonly connectTimeoutMs?: number;
};

export type Provider = {
  readonly upstream: Upstream;
  status(): ModelProviderStatus;
  /** Asks the provider for its models, where that says something. Never rejects. */
  refreshModels(): Promise<void>;
};

const baseUrls: Readonly<Record<ProviderOptions['kind'], string | null>> = {
  openai: 'https://api.openai.com/v1',
  responses: null,
  ollama: 'http://127.0.0.1:11434/v1',
  demo: null,
};
const defaultConnectTimeoutMs = 10_000;
const listTimeoutMs = 3000;

export function createProvider(options: ProviderOptions, clock: Clock): Provider {
  const { kind } = options;
  if (kind === 'demo') {
    const status: ModelProviderStatus = {
      provider: kind,
      baseUrl: null,
      models: [{ id: demoModelId, isDefault: true }],
    };
    return { upstream: new DemoModel(clock), status: () => status, refreshModels: () => Promise.resolve() };
  }

  const baseUrl = options.baseUrl ?? baseUrls[kind];
  if (baseUrl === null) throw new Error(`the provider "${kind}" needs a base URL`);
  const connectTimeoutMs = options.connectTimeoutMs ?? defaultConnectTimeoutMs;
  const upstream = new HttpUpstream({ baseUrl, apiKey: options.apiKey, connectTimeoutMs });

  let listed: readonly string[] = options.models;
  const status = (): ModelProviderStatus => {
    const ids = new Set(options.defaultModel === null ? listed : [options.defaultModel, ...listed]);
    const defaultId = options.defaultModel ?? listed[0];
    return {
      provider: kind,
      baseUrl: displayUrl(baseUrl),
      models: [...ids].map((id) => ({ id, isDefault: id === defaultId })),
    };
  };
  const refreshModels = async (): Promise<void> => {
    // OpenAI lists a hundred models, few of which Codex can use.
    if (kind === 'openai' || options.models.length > 0) return;
    const abort = new AbortController();
    const cancel = clock.after(listTimeoutMs, () => abort.abort());
    try {
      listed = (await upstream.listModels(abort.signal)) ?? listed;
    } catch {
      // A provider that cannot list may still answer; what was known stays.
    } finally {
      cancel();
    }
  };
  return { upstream, status, refreshModels };
}
