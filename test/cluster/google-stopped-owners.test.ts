import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { stoppedOwners, stoppedOwnersTimeoutMs } from './stopped-owners.ts';

const owners = { storage: 'google', rounds: scaled(15) } as const;

test(
  'with Firestore and Cloud Storage, too: an owner that is stopped for longer than its lease and goes on writes nothing that anybody is told [fleet-fenced]',
  {
    timeout: stoppedOwnersTimeoutMs(owners),
  },
  (t) => stoppedOwners(t, owners),
);
