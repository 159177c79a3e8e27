import assert from 'node:assert/strict';
import { grantStoreSuite } from '../../testing/contract-suites/grant-store-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemoryGrantStore } from './memory-grant-store.ts';

grantStoreSuite('MemoryGrantStore', async () => {
  const store = new MemoryGrantStore(new FakeClock());
  const heard = async (isHeard: () => boolean): Promise<void> => {
    // Told at once: a second look is one too many.
    assert.ok(isHeard() || isHeard());
  };
  return { adapter: { here: store, there: store, heard }, close: async () => {} };
});
