import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { MemoryRecords } from './memory-records.ts';

recordsSuite('the memory record store', async () => ({ adapter: new MemoryRecords(), close: async () => {} }));
