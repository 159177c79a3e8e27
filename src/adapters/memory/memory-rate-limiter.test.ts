import { rateLimiterSuite } from '../../testing/contract-suites/rate-limiter-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemoryRateLimiter } from './memory-rate-limiter.ts';

rateLimiterSuite('the memory rate limiter', async () => {
  const clock = new FakeClock();
  return {
    adapter: { limiter: new MemoryRateLimiter(clock), passTime: async (ms) => clock.advance(ms) },
    close: async () => {},
  };
});
