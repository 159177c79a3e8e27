import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { stoppedOwners, stoppedOwnersTimeoutMs } from './stopped-owners.ts';

const owners = { storage: 'sqlite', rounds: scaled(60) } as const;

test(
  'an owner that is stopped for longer than its lease and goes on writes nothing that anybody is told [fleet-fenced]',
  {
    timeout: stoppedOwnersTimeoutMs(owners),
  },
  (t) => stoppedOwners(t, owners),
);
