// Grants in Redis, for several model proxies. What is done there is in grant-scripts.ts; a credential leads to
// its grant by a key of its own, which may lie on another server of a cluster and is therefore written first.

import type { FoundGrant, GrantChange, GrantStore, StoredGrant, TurnTally } from '../../contracts/grant-store.ts';
import type { GrantId, GrantRequest } from '../../contracts/model-grants.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TurnId } from '../../core/ids.ts';
import { countLua, knownForLua, putLua, removeLua } from './grant-scripts.ts';
import type { RedisConnection, RedisScript } from './redis-connection.ts';
import { credentialKey, grantsBornKey, grantsKey } from './redis-keys.ts';
import { freshMark } from './store-age.ts';

/** Longer than a turn may run: the start of each and its calls say that the grant is in use. */
const keptMs = 25 * 60 * 60_000;
const endsKeptMs = 10 * 60_000;

type Body = { readonly request: GrantRequest; readonly credentialSha256: string; readonly traceparent?: string };

export class RedisGrantStore implements GrantStore {
  readonly #connection: RedisConnection;
  readonly #channel: string;
  readonly #put: RedisScript;
  readonly #remove: RedisScript;
  readonly #count: RedisScript;
  readonly #knownFor: RedisScript;
  readonly #listeners = new Set<(change: GrantChange) => void>();
  #isSubscribing = false;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#channel = `${connection.keyPrefix}grants:changes`;
    this.#put = connection.script(putLua);
    this.#remove = connection.script(removeLua);
    this.#count = connection.script(countLua);
    this.#knownFor = connection.script(knownForLua);
  }

  async put(grant: StoredGrant): Promise<StoredGrant> {
    const { credentialSha256, id, request, revision, traceparent, turn } = grant;
    const body = JSON.stringify({ request, credentialSha256, ...traced(traceparent) } satisfies Body);
    await this.#connection.run((client) => client.set(this.#credentialKey(credentialSha256), id, 'PX', keptMs));
    const answer = await this.#put(
      [this.#sessionKey(id)],
      [id, request.epoch, revision, turn ?? '', body, keptMs, endsKeptMs, this.#channel],
    );
    const [word, number, standingTurn] = answer as readonly [string, string?, string?];
    if (word === 'put') return grant;
    if (word === 'stands') return { ...grant, revision: Number(number), turn: turnOf(standingTurn ?? null) };
    if (word === 'stale') throw new ServiceError('stale_epoch', { epoch: Number(number) });
    throw new ServiceError('grant_not_found');
  }

  async find(id: GrantId): Promise<FoundGrant> {
    const fields = ['g', 'r', 't', 'x'].map((kind) => `${kind}:${id}`);
    const [text = null, revision = null, turn = null, ended = null] = await this.#connection.run((client) =>
      client.hmget(this.#sessionKey(id), ...fields),
    );
    if (ended !== null) return 'ended';
    const body = text === null ? null : parseBody(text);
    if (body === null || revision === null) return null;
    return { id, ...body, turn: turnOf(turn), revision: Number(revision) };
  }

  async findByCredential(credentialSha256: string): Promise<FoundGrant> {
    const id = await this.#connection.run((client) => client.get(this.#credentialKey(credentialSha256)));
    if (id === null) return null;
    const found = await this.find(id);
    if (found === null || found === 'ended') return found;
    return found.credentialSha256 === credentialSha256 ? found : null;
  }

  async remove(id: GrantId): Promise<void> {
    await this.#remove([this.#sessionKey(id)], [id, keptMs, endsKeptMs, this.#channel]);
  }

  async count(id: GrantId, turn: TurnId, { calls, usage }: TurnTally): Promise<TurnTally> {
    const { inputTokens, cachedInputTokens, outputTokens, reasoningOutputTokens } = usage;
    const counts = [calls, inputTokens, cachedInputTokens, outputTokens, reasoningOutputTokens];
    const totals = (await this.#count([this.#sessionKey(id)], [id, turn, keptMs, ...counts])) as readonly number[];
    return {
      calls: totals[0] ?? 0,
      usage: {
        inputTokens: totals[1] ?? 0,
        cachedInputTokens: totals[2] ?? 0,
        outputTokens: totals[3] ?? 0,
        reasoningOutputTokens: totals[4] ?? 0,
        costUsd: null,
      },
    };
  }

  onChange(listener: (change: GrantChange) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#isSubscribing) {
      this.#isSubscribing = true;
      this.#connection.onMessage((channel, message) => {
        if (channel === this.#channel) this.#tell(message.toString('utf8'));
      });
      this.#connection.onResubscribe(() => this.#subscribe());
      this.#subscribe();
    }
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async knownForMs(): Promise<number> {
    return Number(await this.#knownFor([grantsBornKey(this.#connection.keyPrefix)], [freshMark()]));
  }

  /** One that fails is made again with the next connection; until then grants are looked at from time to time. */
  #subscribe(): void {
    this.#connection
      .runSubscriber((client) => client.subscribe(this.#channel))
      .catch((error: unknown) =>
        this.#connection.logger.warn({ event: 'grants_not_subscribed', err: error }, 'no changes of grants are heard'),
      );
  }

  #tell(message: string): void {
    const [id = '', word = ''] = message.split(' ');
    const revision = word === 'ended' ? null : Number(word);
    if (id === '' || Number.isNaN(revision)) return;
    for (const listener of this.#listeners) listener({ id, revision });
  }

  #sessionKey(id: GrantId): string {
    return grantsKey(this.#connection.keyPrefix, id.split('.', 1)[0] ?? id);
  }

  #credentialKey(credentialSha256: string): string {
    return credentialKey(this.#connection.keyPrefix, credentialSha256);
  }
}

function turnOf(text: string | null): TurnId | null {
  return text === '' ? null : text;
}

function traced(traceparent: unknown): { traceparent?: string } {
  return typeof traceparent === 'string' ? { traceparent } : {};
}

/** null: not of our making. */
function parseBody(text: string): Body | null {
  try {
    const { credentialSha256, request, traceparent } = JSON.parse(text) as Body;
    if (typeof request !== 'object' || typeof credentialSha256 !== 'string') return null;
    return { request, credentialSha256, ...traced(traceparent) };
  } catch {
    return null;
  }
}
