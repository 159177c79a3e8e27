import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Lease } from '../../contracts/session-directory.ts';
import type { SessionKey, StartOptions, TurnKey, WorkerStatus } from '../../contracts/worker-link.ts';
import type { KnownWorker } from '../../contracts/worker-registry.ts';
import type { FileWrite } from '../../contracts/workspace-link.ts';
import { type ErrorCode, type ErrorDetails, ServiceError } from '../../core/errors.ts';
import { createSilentLogger } from '../../observability/logger.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { bytesOf } from '../../testing/live-workspace.ts';
import { noWorkspace } from '../../testing/no-workspace.ts';
import type { WorkerAddress } from './link-cache.ts';
import { RoutedWorkers, type RoutedWorkersParts } from './routed-workers.ts';
import type { RemoteWorker } from './worker-http-link.ts';

const key: SessionKey = { tenant: 'acme', sessionId: 'session-1' };
const turn: TurnKey = { ...key, turnId: 'turn-1' };
const isolation = {
  cage: 'own-root',
  cageProblem: null,
  innerSandbox: 'bubblewrap',
  innerSandboxProblem: null,
} as const;

const known = (id: string, changes: Partial<KnownWorker> = {}): KnownWorker => ({
  id,
  boot: `boot-of-${id}`,
  url: `http://${id}:7000`,
  state: 'ready',
  slots: { limit: 4, starting: 0, idle: 2, bound: 0 },
  busySessions: 0,
  waitingTurns: 0,
  isolation,
  codexVersion: '1.2.3',
  fleetVersion: '0.0.0',
  startedAt: 1000,
  silentMs: 0,
  ...changes,
});

const refuse = (code: ErrorCode, details: ErrorDetails = {}): ServiceError => new ServiceError(code, details);
const unreachable = refuse('worker_unreachable', { reason: 'refused' });

/** Answers all that it is asked, unless it is told to refuse. */
class FakeWorker {
  readonly calls: string[] = [];
  /** Asked before each call. */
  answer: (call: string) => Promise<void> = async () => undefined;
  isClosed = false;
  readonly link: RemoteWorker;

  constructor(address: WorkerAddress) {
    const ask = async (call: string): Promise<void> => {
      this.calls.push(call);
      await this.answer(call);
    };
    this.link = {
      ...noWorkspace,
      startTurn: (_key: TurnKey, { onlyIfIdle }: StartOptions = {}) =>
        ask(onlyIfIdle === true ? 'startIfIdle' : 'start'),
      cancelTurn: () => ask('cancel'),
      steerTurn: () => ask('steer'),
      approvalSettled: () => ask('settled'),
      hibernateSession: () => ask('hibernate'),
      wakeSession: () => ask('wake'),
      recoverSession: () => ask('recover'),
      runCommand: async () => {
        await ask('command');
        return { exitCode: 0, stdout: address.id, stderr: '', executionTimeMs: 1 };
      },
      eraseSession: () => ask('erase'),
      status: async (): Promise<WorkerStatus & { fleetVersion: string }> => {
        await ask('status');
        return { ...known(address.id), fleetVersion: '0.0.0' };
      },
      listFiles: async () => {
        await ask('list');
        return { data: [], hasMore: false };
      },
      writeFile: async (_key: SessionKey, { content }: FileWrite) => {
        await ask('connect');
        await bytesOf(content);
        await ask('write');
        return { etag: '"x"', isNew: true };
      },
      drain: () => ask('drain'),
      retire: async () => {
        this.isClosed = true;
      },
      close: async () => {
        this.isClosed = true;
      },
    };
  }
}

class Fleet {
  readonly clock = new FakeClock();
  readonly metrics = createMetrics();
  workers: KnownWorker[];
  knownForMs = Infinity;
  lease: Lease | null = null;
  isRedisAway = false;
  readonly links = new Map<string, FakeWorker>();
  readonly routed: RoutedWorkers;

  constructor(t: TestContext, workers: KnownWorker[], overrides: Partial<RoutedWorkersParts> = {}) {
    this.workers = workers;
    const store = <T>(value: () => T): Promise<T> =>
      this.isRedisAway ? Promise.reject(refuse('store_unavailable')) : Promise.resolve(value());
    this.routed = new RoutedWorkers({
      registry: { list: () => store(() => ({ workers: this.workers, knownForMs: this.knownForMs })) },
      directory: { lookup: () => store(() => this.lease) },
      links: (address) => this.#linkTo(address),
      clock: this.clock,
      logger: createSilentLogger(),
      metrics: this.metrics,
      random: () => 0,
      heartbeatMs: 1000,
      leaseMs: 10_000,
      nobodyWaitMs: 0,
      ...overrides,
    });
    t.after(() => this.routed.stop());
  }

  worker(id: string, boot = `boot-of-${id}`): FakeWorker {
    const worker = this.links.get(`${id} ${boot}`) ?? new FakeWorker({ id, boot, url: `http://${id}:7000` });
    this.links.set(`${id} ${boot}`, worker);
    return worker;
  }

  heldBy(worker: string | null): void {
    this.lease = worker === null ? null : { ...key, worker, epoch: 1 };
  }

  refuses(id: string, error: ServiceError): void {
    this.worker(id).answer = () => Promise.reject(error);
  }

  async reasons(): Promise<Record<string, number>> {
    const { body } = await this.metrics.render();
    const lines = [...body.matchAll(/codex_fleet_placements_total\{reason="(\w+)"\} ([1-9]\d*)/g)];
    return Object.fromEntries(lines.map(([, reason = '', count]) => [reason, Number(count)]));
  }

  /** What a call comes to, the clock going on as long as it waits. */
  async after<T>(ms: number, call: Promise<T>): Promise<PromiseSettledResult<T>> {
    const [outcome] = await Promise.all([Promise.allSettled([call]), this.clock.advanceAsync(ms)]);
    return outcome[0];
  }

  #linkTo({ boot, id }: WorkerAddress): RemoteWorker {
    const worker = this.worker(id, boot);
    worker.isClosed = false;
    return worker.link;
  }
}

const codeOf = (outcome: PromiseSettledResult<unknown>): unknown =>
  outcome.status === 'rejected' ? (outcome.reason as ServiceError).code : 'answered';

test('a session goes to its holder, and a new one to the freer worker', async (t) => {
  const fleet = new Fleet(t, [known('w1', { busySessions: 3 }), known('w2')]);
  await fleet.routed.startTurn(turn, { onlyIfIdle: true });
  assert.deepEqual(fleet.worker('w2').calls, ['startIfIdle']);
  fleet.heldBy('w1');
  await fleet.routed.startTurn(turn);
  await fleet.routed.cancelTurn(turn);
  await fleet.routed.steerTurn(turn, 's', 'text');
  await fleet.routed.wakeSession(key);
  await fleet.routed.hibernateSession(key);
  await fleet.routed.runCommand({ key, command: ['ls'], timeoutMs: 1 });
  assert.deepEqual(fleet.worker('w1').calls, ['start', 'cancel', 'steer', 'wake', 'hibernate', 'command']);
  assert.deepEqual(await fleet.reasons(), { two_choices: 1, affinity: 6 });
});

test('a worker that names the holder is followed, and not in a circle', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  fleet.refuses('w1', refuse('stale_epoch', { worker: 'w2' }));
  await fleet.routed.startTurn(turn);
  assert.deepEqual(fleet.worker('w2').calls, ['start']);
  fleet.refuses('w2', refuse('stale_epoch', { worker: 'w1' }));
  const circling = fleet.routed.startTurn(turn);
  await fleet.clock.advanceAsync(0);
  assert.equal(fleet.worker('w1').calls.length + fleet.worker('w2').calls.length, 6);
  assert.equal(codeOf(await fleet.after(20_000, circling)), 'worker_lost');
});

test('a session whose owner has still to be waited for is left to whoever dispatches turns later', async (t) => {
  const fleet = new Fleet(t, [known('w1')]);
  fleet.refuses('w1', refuse('stale_epoch', { worker: 'gone' }));
  assert.equal(codeOf(await fleet.after(20_000, fleet.routed.startTurn(turn))), 'worker_lost');
  const cancel = fleet.clock.after(3000, () => {
    fleet.worker('w1').answer = async () => undefined;
  });
  t.after(cancel);
  assert.equal(codeOf(await fleet.after(20_000, fleet.routed.startTurn(turn))), 'answered');
});

test('a turn that nothing took goes elsewhere, and one that may have been taken does not', async (t) => {
  for (const refusal of [unreachable, refuse('draining'), refuse('no_worker_ready'), refuse('queue_full')]) {
    const fleet = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
    fleet.refuses('w1', refusal);
    await fleet.routed.startTurn(turn);
    assert.deepEqual(fleet.worker('w2').calls, ['start'], refusal.code);
  }
  for (const refusal of [refuse('worker_lost'), refuse('session_busy'), refuse('store_unavailable')]) {
    const fleet = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
    fleet.refuses('w1', refusal);
    await assert.rejects(fleet.routed.startTurn(turn), { code: refusal.code });
    assert.deepEqual(fleet.worker('w2').calls, []);
  }
});

test('when all are full the caller hears that, and when the holder is full nobody else is asked', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  for (const id of ['w1', 'w2']) fleet.refuses(id, refuse('queue_full', { waiting: 9, limit: 9 }));
  await assert.rejects(fleet.routed.startTurn(turn), { code: 'queue_full', details: { waiting: 9, limit: 9 } });
  assert.deepEqual(await fleet.reasons(), { two_choices: 1, only_one: 1, all_full: 1 });
  fleet.heldBy('w1');
  fleet.worker('w2').calls.length = 0;
  await assert.rejects(fleet.routed.startTurn(turn), { code: 'queue_full' });
  assert.deepEqual(fleet.worker('w2').calls, []);
});

test('without a worker, or with none that answers, none is ready', async (t) => {
  const empty = new Fleet(t, []);
  await assert.rejects(empty.routed.startTurn(turn), { code: 'no_worker_ready' });
  await assert.rejects(empty.routed.status(), { code: 'no_worker_ready' });
  const silent = new Fleet(t, [known('w1'), known('w2')]);
  for (const id of ['w1', 'w2']) silent.refuses(id, unreachable);
  await assert.rejects(silent.routed.startTurn(turn), { code: 'no_worker_ready' });
  assert.deepEqual(await silent.reasons(), { two_choices: 1, only_one: 1, no_worker: 1 });
});

test('a fleet in which nobody takes sessions for a moment is waited for, and not for ever', async (t) => {
  const fleet = new Fleet(t, [known('w1', { state: 'draining' })], { nobodyWaitMs: 3_000 });
  const started = fleet.routed.startTurn(turn);
  await fleet.clock.advanceAsync(1_000);
  fleet.workers = [known('w1', { state: 'draining' }), known('w2')];
  await fleet.clock.advanceAsync(2_000);
  await started;
  assert.equal(fleet.worker('w2').calls.length, 1);
  const empty = new Fleet(t, [], { nobodyWaitMs: 3_000 });
  const refused = assert.rejects(empty.routed.startTurn(turn), { code: 'no_worker_ready' });
  await empty.clock.advanceAsync(5_000);
  await refused;
});

test('a holder that drains is waited for until its lease ends, and then another takes the turn', async (t) => {
  const fleet = new Fleet(t, [known('w1', { state: 'draining' }), known('w2')]);
  fleet.heldBy('w1');
  fleet.refuses('w1', refuse('draining'));
  const cancel = fleet.clock.after(1100, () => fleet.heldBy(null));
  t.after(cancel);
  assert.equal(codeOf(await fleet.after(2000, fleet.routed.startTurn(turn))), 'answered');
  assert.deepEqual(fleet.worker('w2').calls, ['start']);
});

test('a holder that is gone while its lease stands is waited for, but not for ever', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  fleet.heldBy('w1');
  fleet.refuses('w1', unreachable);
  const outcome = await fleet.after(20_000, fleet.routed.startTurn(turn));
  assert.equal(codeOf(outcome), 'worker_lost');
  assert.deepEqual(outcome.status === 'rejected' && (outcome.reason as ServiceError).details, {
    worker: 'w1',
    reason: 'holder_gone',
  });
  assert.deepEqual(fleet.worker('w2').calls, []);
  fleet.workers = [known('w2')];
  assert.equal(codeOf(await fleet.after(20_000, fleet.routed.cancelTurn(turn))), 'worker_lost');
});

test('a holder that comes back as another run is found at once', async (t) => {
  const fleet = new Fleet(t, [known('w1')]);
  fleet.heldBy('w1');
  await fleet.routed.startTurn(turn);
  fleet.workers = [known('w1', { boot: 'second' })];
  fleet.refuses('w1', refuse('worker_unreachable', { reason: 'other_boot', boot: 'second' }));
  assert.equal(codeOf(await fleet.after(1000, fleet.routed.startTurn(turn))), 'answered');
  assert.deepEqual(fleet.worker('w1', 'second').calls, ['start']);
  assert.equal(fleet.worker('w1').isClosed, true);
});

test('a worker that refuses connections is left alone for longer each time, until it answers', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
  fleet.routed.start();
  fleet.refuses('w1', unreachable);
  const asked = async (): Promise<number> => {
    const before = fleet.worker('w1').calls.length;
    await fleet.routed.startTurn(turn);
    return fleet.worker('w1').calls.length - before;
  };
  assert.deepEqual([await asked(), await asked()], [1, 0]);
  await fleet.clock.advanceAsync(1001);
  assert.deepEqual([await asked(), await asked()], [1, 0]);
  await fleet.clock.advanceAsync(1001);
  assert.equal(await asked(), 0);
  await fleet.clock.advanceAsync(1001);
  fleet.worker('w1').answer = async () => undefined;
  assert.deepEqual([await asked(), await asked()], [1, 1]);
});

test('of workers that all were left alone one is asked all the same', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  for (const id of ['w1', 'w2']) fleet.refuses(id, unreachable);
  await assert.rejects(fleet.routed.startTurn(turn));
  for (const id of ['w1', 'w2']) fleet.worker(id).answer = async () => undefined;
  await fleet.routed.startTurn(turn);
  assert.equal((await fleet.reasons())['ejected_only'], 1);
});

test('a silent worker comes last, and one silent for a lease not at all', async (t) => {
  const fleet = new Fleet(t, [known('w1', { silentMs: 3500 }), known('w2', { busySessions: 9 })]);
  await fleet.routed.startTurn(turn);
  assert.deepEqual(fleet.worker('w2').calls, ['start']);
  const lost = new Fleet(t, [known('w1', { silentMs: 10_001 })]);
  await assert.rejects(lost.routed.startTurn(turn), { code: 'no_worker_ready' });
});

test('sessions that come within one heartbeat spread', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  await Promise.all(Array.from({ length: 8 }, (_, n) => fleet.routed.startTurn({ ...turn, sessionId: `s${n}` })));
  assert.deepEqual([fleet.worker('w1').calls.length, fleet.worker('w2').calls.length], [4, 4]);
});

test('while the stores are away the last view is used', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2')]);
  fleet.routed.start();
  fleet.heldBy('w2');
  await fleet.routed.startTurn(turn);
  fleet.isRedisAway = true;
  await fleet.clock.advanceAsync(30_000);
  await fleet.routed.cancelTurn(turn);
  assert.deepEqual(fleet.worker('w2').calls, ['start', 'cancel']);
  assert.equal((await fleet.routed.status()).state, 'ready');
  await assert.rejects(fleet.routed.startTurn({ ...turn, sessionId: 'never-seen' }), { code: 'store_unavailable' });
});

test('a registry that lost its data makes no worker vanish that may live', async (t) => {
  const fleet = new Fleet(t, [known('w1')]);
  fleet.routed.start();
  await fleet.routed.startTurn(turn);
  fleet.workers = [];
  fleet.knownForMs = 0;
  await fleet.clock.advanceAsync(2000);
  assert.deepEqual(
    (await fleet.routed.workers()).map(({ id }) => id),
    ['w1'],
  );
  fleet.knownForMs = 10_000;
  await fleet.clock.advanceAsync(2000);
  assert.deepEqual(await fleet.routed.workers(), []);
  assert.equal(fleet.worker('w1').isClosed, true);
});

test('a lost worker is not asked to recover what it held', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
  fleet.heldBy('w1');
  await fleet.routed.recoverSession(key, 'w1');
  assert.deepEqual([fleet.worker('w1').calls, fleet.worker('w2').calls], [[], ['recover']]);
  fleet.refuses('w2', refuse('stale_epoch', { worker: 'w1' }));
  await assert.rejects(fleet.routed.recoverSession(key, 'w1'), { code: 'stale_epoch' });
  assert.deepEqual(fleet.worker('w1').calls, []);
});

test('an approval of a session that nobody holds is told to nobody', async (t) => {
  const fleet = new Fleet(t, [known('w1')]);
  await fleet.routed.approvalSettled(key, 'a1');
  assert.deepEqual(fleet.worker('w1').calls, []);
  fleet.heldBy('w1');
  await fleet.routed.approvalSettled(key, 'a1');
  assert.deepEqual(fleet.worker('w1').calls, ['settled']);
});

test('an erasure is for the holder first and for all others as far as they answer', async (t) => {
  const fleet = new Fleet(t, [known('w1'), known('w2'), known('w3')]);
  fleet.heldBy('w2');
  fleet.refuses('w3', unreachable);
  await fleet.routed.eraseSession(key);
  for (const id of ['w1', 'w2', 'w3']) assert.deepEqual(fleet.worker(id).calls, ['erase']);
});

test('files of a session are looked at where it is, else by any worker, without binding it', async (t) => {
  const fleet = new Fleet(t, [known('w1', { state: 'draining' }), known('w2')]);
  const query = { path: '', recursive: false, after: null, limit: 10 };
  fleet.heldBy('w1');
  await fleet.routed.listFiles(key, query);
  assert.deepEqual(fleet.worker('w1').calls, ['list']);
  fleet.refuses('w1', unreachable);
  await fleet.routed.listFiles(key, query);
  assert.deepEqual(fleet.worker('w2').calls, ['list']);
  fleet.refuses('w2', unreachable);
  await assert.rejects(fleet.routed.listFiles(key, query), { code: 'no_worker_ready' });
});

test('an upload goes elsewhere only while nothing of it was read', async (t) => {
  const upload = (): FileWrite => ({
    path: 'a',
    content: (async function* () {
      yield Buffer.from('x');
    })(),
    isExecutable: false,
    ifMatch: null,
    ifNoneMatch: false,
  });
  const fleet = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
  fleet.worker('w1').answer = (call) => (call === 'connect' ? Promise.reject(unreachable) : Promise.resolve());
  await fleet.routed.writeFile(key, upload());
  assert.deepEqual(fleet.worker('w2').calls, ['connect', 'write']);
  const late = new Fleet(t, [known('w1'), known('w2', { busySessions: 3 })]);
  late.worker('w1').answer = (call) => (call === 'write' ? Promise.reject(refuse('draining')) : Promise.resolve());
  await assert.rejects(late.routed.writeFile(key, upload()), { code: 'draining' });
  assert.deepEqual(late.worker('w2').calls, []);
});

test('a worker is drained by its name, and one that is not known is refused', async (t) => {
  const fleet = new Fleet(t, [known('w1')]);
  await fleet.routed.drainWorker('w1');
  assert.deepEqual(fleet.worker('w1').calls, ['drain']);
  await assert.rejects(fleet.routed.drainWorker('w9'), { code: 'worker_not_found', details: { worker: 'w9' } });
});

test('the fleet is as ready as its readiest worker and as caged as its least', async (t) => {
  const open = { ...isolation, cage: 'none', cageProblem: 'no user namespaces' } as const;
  const fleet = new Fleet(t, [
    known('w1', { state: 'draining', isolation: open, startedAt: 500 }),
    known('w2', { codexVersion: '1.2.4', waitingTurns: 2 }),
  ]);
  const { boundSessions: _bound, ...status } = await fleet.routed.status();
  assert.deepEqual(status, {
    id: 'fleet',
    state: 'ready',
    slots: { limit: 8, starting: 0, idle: 4, bound: 0 },
    busySessions: 0,
    waitingTurns: 2,
    isolation: open,
    codexVersion: '1.2.3, 1.2.4',
    startedAt: 500,
  });
});

test('static addresses are asked who they are, and a name may stand for several workers', async (t) => {
  let addresses = ['10.0.0.1', '10.0.0.2'];
  const boots = new Map([
    ['http://10.0.0.1:7000', 'boot-of-10.0.0.1:7000'],
    ['http://10.0.0.2:7000', 'boot-of-10.0.0.2:7000'],
  ]);
  const fleet = new Fleet(t, [known('w1')], {
    staticUrls: ['http://workers.fleet:7000'],
    resolve: async (host) => {
      assert.equal(host, 'workers.fleet');
      return addresses;
    },
    readBoot: async (url) => boots.get(url) ?? Promise.reject(unreachable),
  });
  fleet.routed.start();
  await fleet.clock.advanceAsync(0);
  const ids = async (): Promise<string[]> => (await fleet.routed.workers()).map(({ id }) => id);
  assert.deepEqual(await ids(), ['10.0.0.1:7000', '10.0.0.2:7000', 'w1']);
  addresses = ['10.0.0.2'];
  await fleet.clock.advanceAsync(7000);
  assert.deepEqual(await ids(), ['10.0.0.2:7000', 'w1']);
  fleet.refuses('10.0.0.2:7000', unreachable);
  boots.clear();
  await fleet.clock.advanceAsync(3000);
  assert.deepEqual(await ids(), ['10.0.0.2:7000', 'w1']);
  await fleet.clock.advanceAsync(62_000);
  assert.deepEqual(await ids(), ['w1']);
});

test('a worker that serves another tenant is not asked while one is there that could take the session; asked last, its refusal is told', async (t) => {
  const fleet = new Fleet(t, [known('others', { reservedFor: 'globex' }), known('open', { busySessions: 4 })]);
  await fleet.routed.startTurn(turn);
  assert.deepEqual([fleet.worker('others').calls, fleet.worker('open').calls], [[], ['start']]);
  fleet.refuses('open', refuse('draining'));
  fleet.refuses('others', refuse('worker_reserved'));
  await assert.rejects(fleet.routed.startTurn(turn), { code: 'worker_reserved' });
  assert.deepEqual(fleet.worker('others').calls, ['start']);
});

test('a worker that was taken by another tenant a moment ago refuses, and the next one is asked', async (t) => {
  const fleet = new Fleet(t, [known('a'), known('b')]);
  fleet.refuses('a', refuse('worker_reserved'));
  fleet.refuses('b', refuse('worker_reserved'));
  await assert.rejects(fleet.routed.startTurn(turn), { code: 'worker_reserved' });
  assert.deepEqual([fleet.worker('a').calls, fleet.worker('b').calls], [['start'], ['start']]);
});

test('without a refusal of that kind nobody is told of other tenants', async (t) => {
  const fleet = new Fleet(t, [known('a', { state: 'draining' })]);
  await assert.rejects(fleet.routed.startTurn(turn), { code: 'no_worker_ready' });
});
