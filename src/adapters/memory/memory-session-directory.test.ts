import { sessionDirectorySuite } from '../../testing/contract-suites/session-directory-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemorySessionDirectory } from './memory-session-directory.ts';

sessionDirectorySuite('the memory directory', async () => {
  const clock = new FakeClock();
  return {
    adapter: { directory: new MemorySessionDirectory(clock), passTime: async (ms) => clock.advance(ms) },
    close: async () => {},
  };
});
