import { snapshotStoreSuite } from '../../testing/contract-suites/snapshot-store-suite.ts';
import { MemorySnapshotStore } from './memory-snapshot-store.ts';

snapshotStoreSuite('the memory snapshot store', async () => ({
  adapter: new MemorySnapshotStore(),
  close: async () => {},
}));
