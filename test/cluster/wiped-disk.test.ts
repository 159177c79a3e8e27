import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { wipedDisks, wipedDisksTimeoutMs } from './wiped-disks.ts';

const disks = { storage: 'sqlite', rounds: scaled(2) } as const;

test(
  'a worker that is killed behind `completed` and whose disk is gone takes nothing with it: its sessions go on with their files and their history [fleet-disk]',
  {
    timeout: wipedDisksTimeoutMs(disks),
  },
  (t) => wipedDisks(t, disks),
);
