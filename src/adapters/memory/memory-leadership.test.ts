import { leadershipSuite } from '../../testing/contract-suites/leadership-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemoryLeadership } from './memory-leadership.ts';

leadershipSuite('the memory leadership', async () => {
  const clock = new FakeClock();
  return {
    adapter: { leadership: new MemoryLeadership(clock), passTime: async (ms) => clock.advance(ms) },
    close: async () => {},
  };
});
