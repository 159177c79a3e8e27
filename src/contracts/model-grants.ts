// Credentials for the model proxy, one per binding. The proxy alone holds the real key; a grant says
// which session may use it, through which models, while which turn runs.

import type { SessionId, TenantId, TurnId } from '../core/ids.ts';

export type GrantId = string;

export type GrantRequest = {
  readonly tenant: TenantId;
  readonly sessionId: SessionId;
  readonly epoch: number;
  /** Empty: the proxy's default model and whatever the provider offers. */
  readonly models: readonly string[];
};

export type Grant = {
  readonly id: GrantId;
  /** The bearer token that Codex sends. Random, for this binding alone; the proxy keeps only its hash. */
  readonly credential: string;
};

export interface ModelGrants {
  /** Valid until revoked. An older epoch of the same session stops being served. */
  issue(request: GrantRequest): Promise<Grant>;
  /** From now until endTurn, calls with this grant are served. `traceparent`: what they are traced under. */
  beginTurn(id: GrantId, turnId: TurnId, traceparent?: string | null): Promise<void>;
  /** Calls under way are cut; later ones are refused. */
  endTurn(id: GrantId, turnId: TurnId): Promise<void>;
  /** Cuts and forgets. Revoking twice is harmless. */
  revoke(id: GrantId): Promise<void>;
}

export type ModelInfo = { readonly id: string; readonly isDefault: boolean };

export type ModelProviderStatus = {
  readonly provider: 'openai' | 'responses' | 'ollama' | 'demo';
  /** Where calls go, without credentials; null for the demo model. */
  readonly baseUrl: string | null;
  readonly models: readonly ModelInfo[];
};

export interface ModelProxyLink extends ModelGrants {
  status(): Promise<ModelProviderStatus>;
}
