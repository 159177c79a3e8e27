import { test } from 'node:test';
import { scaled } from '../faults/fault-scale.ts';
import { killsInACluster, killsTimeoutMs } from './kills-in-a-cluster.ts';

const kills = { storage: 'sqlite', sessions: scaled(100), turns: scaled(500) } as const;

test(
  'whoever is killed in a cluster, each accepted turn ends once, runs at most once, and every stream goes on [fleet-kill]',
  {
    timeout: killsTimeoutMs(kills),
  },
  (t) => killsInACluster(t, kills),
);
