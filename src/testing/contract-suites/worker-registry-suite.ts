// What every worker registry must do (contracts/worker-registry.ts), tried.

import assert from 'node:assert/strict';
import type { WorkerEntry, WorkerRegistry } from '../../contracts/worker-registry.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';

export type TimedRegistry = {
  readonly registry: WorkerRegistry;
  /** A minute, or less where a real server would be waited for. */
  readonly forgetAfterMs: number;
  passTime(ms: number): Promise<void>;
};

export function workerEntry(id: string, changes: Partial<WorkerEntry> = {}): WorkerEntry {
  return {
    id,
    boot: 'boot-1',
    url: `http://${id}:7000`,
    state: 'ready',
    slots: { limit: 4, starting: 0, idle: 2, bound: 1 },
    busySessions: 1,
    waitingTurns: 0,
    isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'none', innerSandboxProblem: 'a "reason"\n' },
    codexVersion: '0.169.0',
    fleetVersion: '0.1.0',
    startedAt: 1_700_000_000_000,
    ...changes,
  };
}

async function entriesOf(registry: WorkerRegistry): Promise<WorkerEntry[]> {
  return (await registry.list()).workers.map(({ silentMs: _, ...entry }) => entry);
}

async function silenceOf(registry: WorkerRegistry, id: string): Promise<number> {
  return (await registry.list()).workers.find((worker) => worker.id === id)?.silentMs ?? assert.fail(`${id} is named`);
}

export const workerRegistryChecks: readonly ContractCheck<TimedRegistry>[] = [
  {
    title: 'workers are listed by id, each as it last described itself',
    async run({ registry }) {
      assert.deepEqual(await entriesOf(registry), []);
      for (const id of ['worker-2', 'worker-10', 'worker-1'])
        assert.equal(await registry.announce(workerEntry(id)), true);
      const busier = workerEntry('worker-2', { state: 'draining', busySessions: 3, waitingTurns: 9 });
      await registry.announce(busier);
      assert.deepEqual(await entriesOf(registry), [workerEntry('worker-1'), workerEntry('worker-10'), busier]);
    },
  },
  {
    title: 'how long each has been silent is counted from its last announcement',
    async run({ registry, passTime, forgetAfterMs }) {
      await registry.announce(workerEntry('worker-1'));
      await registry.announce(workerEntry('worker-2'));
      await passTime(forgetAfterMs * 0.4);
      await registry.announce(workerEntry('worker-2'));
      const [first, second] = [await silenceOf(registry, 'worker-1'), await silenceOf(registry, 'worker-2')];
      assert.ok(first >= forgetAfterMs * 0.4 && first < forgetAfterMs, `silent for ${first} ms`);
      assert.ok(second < forgetAfterMs * 0.3, `silent for ${second} ms`);
    },
  },
  {
    title: 'a worker that was silent too long is not named any more, and may come again in any boot',
    async run({ registry, passTime, forgetAfterMs }) {
      await registry.announce(workerEntry('worker-1'));
      await registry.announce(workerEntry('worker-2'));
      for (let round = 0; round < 3; round += 1) {
        await passTime(forgetAfterMs * 0.4);
        await registry.announce(workerEntry('worker-2'));
      }
      assert.deepEqual(await entriesOf(registry), [workerEntry('worker-2')]);
      const earlier = workerEntry('worker-1', { boot: 'boot-0', startedAt: 1 });
      assert.equal(await registry.announce(earlier), true);
      assert.deepEqual(await entriesOf(registry), [earlier, workerEntry('worker-2')]);
    },
  },
  {
    title: 'a later boot takes the place of an earlier one, which is refused from then on',
    async run({ registry }) {
      const later = workerEntry('worker-1', { boot: 'boot-0', startedAt: 1_700_000_000_001, url: 'http://new:7000' });
      await registry.announce(workerEntry('worker-1'));
      assert.equal(await registry.announce(later), true);
      assert.equal(await registry.announce(workerEntry('worker-1', { state: 'draining' })), false);
      assert.deepEqual(await entriesOf(registry), [later]);
    },
  },
  {
    title: 'of two boots that began in the same millisecond one wins, whoever comes first',
    async run({ registry }) {
      const [one, two] = [workerEntry('worker-1', { boot: 'a' }), workerEntry('worker-1', { boot: 'b' })];
      assert.equal(await registry.announce(one), true);
      assert.equal(await registry.announce(two), true);
      assert.equal(await registry.announce(one), false);
      assert.deepEqual(await entriesOf(registry), [two]);
    },
  },
  {
    title: 'a worker that withdraws is gone at once, yet an earlier boot of it takes nobody with it',
    async run({ registry }) {
      const later = workerEntry('worker-1', { boot: 'boot-2', startedAt: 1_700_000_000_001 });
      await registry.announce(workerEntry('worker-1'));
      await registry.announce(later);
      await registry.withdraw('worker-1', 'boot-1');
      assert.deepEqual(await entriesOf(registry), [later]);
      await registry.withdraw('worker-1', 'boot-2');
      await registry.withdraw('worker-1', 'boot-2');
      assert.deepEqual(await entriesOf(registry), []);
    },
  },
];

export function workerRegistrySuite(adapterName: string, open: () => Promise<Subject<TimedRegistry>>): void {
  describeContract(`${adapterName} keeps the promises of a worker registry`, workerRegistryChecks, open);
}
