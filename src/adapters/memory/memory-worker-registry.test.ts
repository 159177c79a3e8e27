import { workerRegistrySuite } from '../../testing/contract-suites/worker-registry-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemoryWorkerRegistry } from './memory-worker-registry.ts';

workerRegistrySuite('the memory worker registry', async () => {
  const clock = new FakeClock();
  return {
    adapter: {
      registry: new MemoryWorkerRegistry(clock),
      forgetAfterMs: 60_000,
      passTime: async (ms) => clock.advance(ms),
    },
    close: async () => {},
  };
});
