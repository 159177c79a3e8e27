import { ticketStoreSuite } from '../../testing/contract-suites/ticket-store-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { MemoryTicketStore } from './memory-ticket-store.ts';

ticketStoreSuite('the memory ticket store', async () => {
  const clock = new FakeClock();
  return {
    adapter: { tickets: new MemoryTicketStore(clock), passTime: async (ms) => clock.advance(ms) },
    close: async () => {},
  };
});
