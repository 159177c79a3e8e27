import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryGrantStore } from '../adapters/memory/memory-grant-store.ts';
import type { GrantStore, StoredGrant } from '../contracts/grant-store.ts';
import type { GrantRequest } from '../contracts/model-grants.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import { createLogger } from '../observability/logger.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type CutWhy, defaultGrantLimits, GrantTable, hashOfCredential, type OpenCall } from './grants.ts';
import { ModelRefusal } from './refusal.ts';
import { SharedGrants } from './shared-grants.ts';

const request: GrantRequest = { tenant: 'a', sessionId: 's', epoch: 1, models: [] };
const logger = createLogger({ level: 'silent', role: 'test' });
const noSignal = new AbortController().signal;

/** A store that is there, or is not; `forgetAll` is a flush. */
class Shared {
  readonly clock = new FakeClock();
  isAway = false;
  isMute = false;
  #kept = new MemoryGrantStore(this.clock);
  readonly #listeners = new Set<Parameters<GrantStore['onChange']>[0]>();

  constructor() {
    this.#listenTo(this.#kept);
  }

  forgetAll(): void {
    this.#kept = new MemoryGrantStore(this.clock);
    this.#listenTo(this.#kept);
  }

  get kept(): MemoryGrantStore {
    return this.#kept;
  }

  get store(): GrantStore {
    const present = (): MemoryGrantStore => {
      if (this.isAway) throw new ServiceError('store_unavailable');
      return this.#kept;
    };
    return {
      put: async (grant) => await present().put(grant),
      find: async (id) => await present().find(id),
      findByCredential: async (hash) => await present().findByCredential(hash),
      remove: async (id) => await present().remove(id),
      count: async (...given) => await present().count(...given),
      knownForMs: async () => await present().knownForMs(),
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }

  proxy(): SharedGrants {
    const parts = { store: this.store, clock: this.clock, logger };
    const grants = new SharedGrants({ table: new GrantTable(defaultGrantLimits), ...parts });
    grants.start();
    return grants;
  }

  #listenTo(store: MemoryGrantStore): void {
    store.onChange((change) => {
      if (!this.isMute) for (const listener of this.#listeners) listener(change);
    });
  }
}

function call(proxy: SharedGrants, credential: string, cut: (why: CutWhy) => void = () => {}): Promise<OpenCall> {
  return proxy.openCall(`Bearer ${credential}`, cut, noSignal);
}

function refusedAs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof ModelRefusal && error.code === code;
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test('a credential that one proxy gave is good at another while its turn runs', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't');
  assert.equal((await call(second, credential)).turnId, 't');
  await second.endTurn(id, 't');
  await assert.rejects(call(first, credential), refusedAs('no_running_turn'));
  await first.revoke(id);
  await assert.rejects(call(second, credential), refusedAs('grant_ended'));
});

test('calls under way are cut within two seconds of an end at another proxy, heard or not', async () => {
  for (const isMute of [false, true]) {
    const shared = new Shared();
    const [first, second] = [shared.proxy(), shared.proxy()];
    const { credential, id } = await first.issue(request);
    await first.beginTurn(id, 't');
    const cuts: CutWhy[] = [];
    await call(second, credential, (why) => cuts.push(why));
    shared.isMute = isMute;
    await first.endTurn(id, 't');
    await shared.clock.advanceAsync(isMute ? 2_000 : 0);
    await settled();
    assert.deepEqual(cuts, ['turn_ended'], isMute ? 'unheard' : 'heard');
  }
});

test('a later epoch at one proxy ends what another serves of the session', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't');
  const cuts: CutWhy[] = [];
  await call(first, credential, (why) => cuts.push(why));
  await second.issue({ ...request, epoch: 2 });
  await settled();
  assert.deepEqual(cuts, ['turn_ended']);
  await assert.rejects(
    first.issue(request),
    (error) => isServiceError(error, 'stale_epoch') && error.details['epoch'] === 2,
  );
});

test('while the store is away known grants are served, begun, ended and given, and it hears of all when it is back', async () => {
  const shared = new Shared();
  const proxy = shared.proxy();
  const old = await proxy.issue(request);
  await proxy.beginTurn(old.id, 't');
  shared.isAway = true;
  await shared.clock.advanceAsync(60_000);
  assert.equal((await call(proxy, old.credential)).turnId, 't');
  await proxy.endTurn(old.id, 't');
  const fresh = await proxy.issue({ ...request, sessionId: 'other' });
  await proxy.beginTurn(fresh.id, 't2');
  assert.equal((await call(proxy, fresh.credential)).turnId, 't2');
  await proxy.revoke(old.id);
  shared.isAway = false;
  await shared.clock.advanceAsync(2_000);
  assert.equal(await shared.kept.find(old.id), 'ended');
  const kept = (await shared.kept.find(fresh.id)) as StoredGrant;
  assert.equal(kept.turn, 't2');
});

test('a credential that nobody knows while the store is away may be tried again, and is never called unknown', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't');
  await shared.clock.advanceAsync(60_000);
  shared.isAway = true;
  const refused = assert.rejects(call(second, credential), refusedAs('grants_unavailable'));
  await shared.clock.advanceAsync(5_000);
  await refused;
  const patient = call(second, credential);
  await shared.clock.advanceAsync(1_000);
  shared.isAway = false;
  await shared.clock.advanceAsync(1_000);
  assert.equal((await patient).turnId, 't');
});

test('a credential that nobody ever gave is unknown in the end', async () => {
  const shared = new Shared();
  const proxy = shared.proxy();
  await shared.clock.advanceAsync(60_000);
  const refused = assert.rejects(call(proxy, `cfg_${'x'.repeat(43)}`), refusedAs('invalid_api_key'));
  await shared.clock.advanceAsync(5_000);
  await refused;
  await assert.rejects(call(proxy, 'nonsense'), refusedAs('invalid_api_key'));
});

test('a flushed store is told again by the proxy that serves the grant', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't', 2);
  shared.forgetAll();
  await shared.clock.advanceAsync(2_000);
  assert.deepEqual(await first.missing([{ id, revision: 2 }]), []);
  assert.equal((await call(second, credential)).turnId, 't');
});

test('a proxy that lost everything serves again what its worker remembers, to a call that waits for it', async () => {
  const shared = new Shared();
  const lost = shared.proxy();
  const { credential, id } = await lost.issue(request);
  shared.forgetAll();
  const proxy = shared.proxy();
  const waiting = call(proxy, credential);
  await shared.clock.advanceAsync(1_000);
  assert.deepEqual(await proxy.missing([{ id, revision: 2 }]), [id]);
  const credentialSha256 = hashOfCredential(credential);
  await proxy.restore({ id, request, credentialSha256, turn: 't', revision: 2 });
  await shared.clock.advanceAsync(200);
  assert.equal((await waiting).turnId, 't');
  await assert.rejects(
    proxy.restore({ id: `other.${id}`, request, credentialSha256, turn: 't', revision: 3 }),
    (error) => isServiceError(error, 'invalid_request'),
  );
});

test('what a worker remembers of an earlier epoch, or of a grant that has ended, is refused', async () => {
  const shared = new Shared();
  const proxy = shared.proxy();
  const old = await proxy.issue(request);
  const stale: StoredGrant = {
    id: old.id,
    request,
    credentialSha256: hashOfCredential(old.credential),
    turn: 't',
    revision: 9,
  };
  const next = await proxy.issue({ ...request, epoch: 2 });
  const isRefused = (error: unknown): boolean =>
    isServiceError(error, 'stale_epoch') || isServiceError(error, 'grant_not_found');
  await assert.rejects(proxy.restore(stale), isRefused);
  await assert.rejects(shared.proxy().restore(stale), isRefused);
  await proxy.revoke(next.id);
  const ended: StoredGrant = {
    ...stale,
    id: next.id,
    request: { ...request, epoch: 2 },
    credentialSha256: hashOfCredential(next.credential),
  };
  await assert.rejects(shared.proxy().restore(ended), isRefused);
});

test('a command that comes late, after a later one, changes nothing', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't', 2);
  await second.endTurn(id, 't', 3);
  await first.beginTurn(id, 't', 2);
  await assert.rejects(call(first, credential), refusedAs('no_running_turn'));
  await second.beginTurn(id, 't2', 4);
  await first.endTurn(id, 't', 3);
  assert.equal((await call(first, credential)).turnId, 't2');
});

test('the calls and tokens of all proxies are one tally, and one budget', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't');
  const usage = { inputTokens: 3, cachedInputTokens: 1, outputTokens: 2, reasoningOutputTokens: 0, costUsd: null };
  for (const proxy of [first, second, first]) {
    const open = await call(proxy, credential);
    open.countAttempt();
    open.addUsage(usage);
    open.close();
    await settled();
  }
  const tally = await second.endTurn(id, 't');
  assert.deepEqual([tally.calls, tally.usage.inputTokens], [3, 9]);
});

test('a proxy that stops cuts its calls as one that stops, and its grants go on at another', async () => {
  const shared = new Shared();
  const [first, second] = [shared.proxy(), shared.proxy()];
  const { credential, id } = await first.issue(request);
  await first.beginTurn(id, 't');
  const cuts: CutWhy[] = [];
  await call(first, credential, (why) => cuts.push(why));
  await first.stop();
  assert.deepEqual(cuts, ['stopping']);
  assert.equal((await call(second, credential)).turnId, 't');
  await second.stop();
});

test('what a proxy keeps of idle grants is bounded in time, and found again', async () => {
  const shared = new Shared();
  const proxy = shared.proxy();
  const { credential, id } = await proxy.issue(request);
  assert.equal(proxy.size, 1);
  await shared.clock.advanceAsync(15 * 60_000);
  assert.equal(proxy.size, 0);
  await proxy.beginTurn(id, 't');
  assert.equal((await call(proxy, credential)).turnId, 't');
});
