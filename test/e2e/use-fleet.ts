// One fleet for the tests of a file: started before the first, ended (and proven gone) after the last.

import { after, before } from 'node:test';
import { FleetUnderTest, type FleetOptions } from './fleet-under-test.ts';

/**
 * The options may need a server of the test's own, so they may be a function: hooks at the top of a file
 * do not wait for each other.
 */
export function useFleet(options: FleetOptions | (() => Promise<FleetOptions>) = {}): () => FleetUnderTest {
  let fleet: FleetUnderTest | null = null;
  before(async () => {
    fleet = await FleetUnderTest.start(typeof options === 'function' ? await options() : options);
  });
  after(async () => {
    await fleet?.close();
  });
  return () => {
    if (fleet === null) throw new Error('the fleet of this file did not start');
    return fleet;
  };
}
