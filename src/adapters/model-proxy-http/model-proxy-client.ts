// The worker's link to the model proxy. Remembers its live grants and says them again to a proxy that does not
// know them: a proxy that was killed, or a store that was emptied, costs the running turns nothing.

import { createHash } from 'node:crypto';
import type {
  Grant,
  GrantId,
  GrantRequest,
  ModelProviderStatus,
  ModelProxyLink,
} from '../../contracts/model-grants.ts';
import type { Clock } from '../../core/clock.ts';
import { isServiceError } from '../../core/errors.ts';
import type { TurnId } from '../../core/ids.ts';
import { Round } from '../../core/round.ts';
import { badReply, type ControlAddress, ControlCalls, type Fields, isUnreachable } from './control-calls.ts';

export type ModelProxyClientOptions = {
  /** The proxy's control face. */
  readonly address: ControlAddress;
  readonly credential: string;
  readonly clock: Clock;
  readonly deadlineMs?: number;
  /** For how long a proxy that does not answer is asked again, where that may be done twice. */
  readonly patienceMs?: number;
  /** How often the proxy is asked whether it knows the grants whose turns run. */
  readonly checkMs?: number;
};

type Held = {
  readonly request: GrantRequest;
  readonly credentialSha256: string;
  turn: TurnId | null;
  /** Of that turn. */
  traceparent: string | null;
  /** Of what was said last: the proxy ignores what was said before and comes later. */
  revision: number;
  /** The proxy refused to take it again: a later epoch, or its end, is known there. */
  isRefused: boolean;
};

const defaultDeadlineMs = 2000;
/** What a restart of the proxy may take on a busy machine: a turn waits longer than that for a slot. */
const defaultPatienceMs = 15_000;
const defaultCheckMs = 1000;
/** While the proxy is not there. */
const lookAgainMs = 100;
const checkedAtOnce = 500;
const maxUnrevoked = 10_000;

export class ModelProxyClient implements ModelProxyLink {
  readonly #calls: ControlCalls;
  readonly #held = new Map<GrantId, Held>();
  /** The proxy was away when they were revoked. */
  readonly #unrevoked = new Set<GrantId>();
  readonly #watch: Round;
  #isAway = false;

  constructor(options: ModelProxyClientOptions) {
    const { address, clock, credential, deadlineMs = defaultDeadlineMs, checkMs = defaultCheckMs } = options;
    const { patienceMs = defaultPatienceMs } = options;
    this.#calls = new ControlCalls({ address, credential, clock, deadlineMs, patienceMs });
    this.#watch = new Round({
      clock,
      pauseMs: () => (this.#isAway ? Math.min(lookAgainMs, checkMs) : checkMs),
      work: () => this.#check(),
      goesOn: () => this.#unrevoked.size > 0 || this.#running().length > 0,
      // Whoever uses the link hears of it; here the next round tries again.
      onError: (error) => {
        this.#isAway = isUnreachable(error);
      },
    });
  }

  async issue(request: GrantRequest): Promise<Grant> {
    const { id, credential } = await this.#calls.insist('POST', '/grants', fieldsOf(request));
    if (typeof id !== 'string' || typeof credential !== 'string') throw badReply();
    const credentialSha256 = createHash('sha256').update(credential).digest('hex');
    this.#held.set(id, { request, credentialSha256, turn: null, traceparent: null, revision: 1, isRefused: false });
    return { id, credential };
  }

  async beginTurn(id: GrantId, turnId: TurnId, traceparent: string | null = null): Promise<void> {
    const held = this.#held.get(id);
    if (held !== undefined) held.traceparent = traceparent;
    try {
      await this.#say('POST', id, turnId, turnId);
      this.#watch.begin();
    } catch (error) {
      // It does not run: nothing is to say so later.
      this.#change(id, null);
      throw error;
    }
  }

  async endTurn(id: GrantId, turnId: TurnId): Promise<void> {
    await this.#say('DELETE', id, turnId, null);
  }

  async revoke(id: GrantId): Promise<void> {
    this.#held.delete(id);
    try {
      await this.#calls.insist('DELETE', grantPath(id));
    } catch (error) {
      if (this.#unrevoked.size < maxUnrevoked) this.#unrevoked.add(id);
      this.#watch.begin();
      throw error;
    }
  }

  async status(): Promise<ModelProviderStatus> {
    const { provider, base_url: baseUrl, models } = await this.#calls.call('GET', '/status');
    if (!isProvider(provider) || !(typeof baseUrl === 'string' || baseUrl === null) || !Array.isArray(models)) {
      throw badReply();
    }
    return {
      provider,
      baseUrl,
      models: models.map((model: Fields) => ({ id: String(model['id']), isDefault: model['is_default'] === true })),
    };
  }

  /** Calls under way are ended. */
  async close(): Promise<void> {
    this.#watch.stop();
    await this.#calls.close();
  }

  /** The proxy's own metrics, in Prometheus' text format. */
  metricsText(): Promise<string> {
    return this.#calls.text('/metrics');
  }

  /** To a proxy that does not know the grant, the whole of it. */
  async #say(method: 'POST' | 'DELETE', id: GrantId, turnId: TurnId, running: TurnId | null): Promise<void> {
    const held = this.#change(id, running);
    const path = `${grantPath(id)}/turns/${encodeURIComponent(turnId)}`;
    const query = new URLSearchParams(held === null ? {} : { revision: String(held.revision) });
    if (running !== null && typeof held?.traceparent === 'string') query.set('traceparent', held.traceparent);
    try {
      await this.#calls.insist(method, query.size === 0 ? path : `${path}?${query.toString()}`);
    } catch (error) {
      if (held === null || !isServiceError(error, 'grant_not_found')) throw error;
      await this.#restore(id, held);
    }
  }

  #change(id: GrantId, turn: TurnId | null): Held | null {
    const held = this.#held.get(id);
    if (held === undefined) return null;
    held.turn = turn;
    held.revision += 1;
    return held;
  }

  async #restore(id: GrantId, { credentialSha256, request, revision, traceparent, turn }: Held): Promise<void> {
    const traced = turn === null || traceparent === null ? {} : { traceparent };
    const fields = { ...fieldsOf(request), credential_sha256: credentialSha256, turn_id: turn, ...traced, revision };
    await this.#calls.insist('PUT', grantPath(id), fields);
  }

  #running(): readonly (readonly [GrantId, Held])[] {
    return [...this.#held].filter(([, { isRefused, turn }]) => turn !== null && !isRefused);
  }

  async #check(): Promise<void> {
    const running = this.#running();
    for (let at = 0; at < running.length; at += checkedAtOnce) {
      const some = running.slice(at, at + checkedAtOnce);
      const grants = some.map(([id, { revision }]) => ({ id, revision }));
      const { missing } = await this.#calls.call('POST', '/grants/check', { grants });
      if (!Array.isArray(missing)) throw badReply();
      for (const id of missing as readonly unknown[]) if (typeof id === 'string') await this.#restoreMissing(id);
    }
    for (const id of this.#unrevoked) {
      await this.#calls.call('DELETE', grantPath(id));
      this.#unrevoked.delete(id);
    }
    this.#isAway = false;
  }

  async #restoreMissing(id: GrantId): Promise<void> {
    const held = this.#held.get(id);
    if (held === undefined) return;
    try {
      await this.#restore(id, held);
    } catch (error) {
      if (!isServiceError(error, 'grant_not_found') && !isServiceError(error, 'stale_epoch')) throw error;
      held.isRefused = true;
    }
  }
}

function fieldsOf({ epoch, models, sessionId, tenant }: GrantRequest): Fields {
  return { tenant, session_id: sessionId, epoch, models };
}

function grantPath(id: GrantId): string {
  return `/grants/${encodeURIComponent(id)}`;
}

function isProvider(value: unknown): value is ModelProviderStatus['provider'] {
  return value === 'openai' || value === 'responses' || value === 'ollama' || value === 'demo';
}
