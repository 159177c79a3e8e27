import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { wipedDisks, wipedDisksTimeoutMs } from './wiped-disks.ts';

/** Taken over by others once; come back with nothing once. */
const disks = { storage: 'google', rounds: scaled(2) } as const;

test(
  'with Firestore and Cloud Storage, too: a worker that is killed behind `completed` and whose disk is gone takes nothing with it [fleet-disk]',
  {
    timeout: wipedDisksTimeoutMs(disks),
  },
  (t) => wipedDisks(t, disks),
);
