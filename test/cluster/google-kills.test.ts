import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { killsInACluster, killsTimeoutMs } from './kills-in-a-cluster.ts';

const kills = { storage: 'google', sessions: scaled(30), turns: scaled(80) } as const;

test(
  'with Firestore, Cloud Storage and Pub/Sub, too: whoever is killed, each accepted turn ends once, runs at most once, and every stream goes on [fleet-kill]',
  {
    timeout: killsTimeoutMs(kills),
  },
  (t) => killsInACluster(t, kills),
);
