// The table of everything that the bootstrap script makes, in the order in which it makes it. Secrets come early:
// what a person has to give is asked for before anything takes long.

import { edge } from './edge.ts';
import { identity } from './identity.ts';
import { cluster, platform } from './platform.ts';
import type { Resource } from './resource.ts';
import { clusterSecrets, secrets } from './secrets.ts';
import { redis, stores } from './stores.ts';

export const resources: readonly Resource[] = [
  ...platform,
  ...secrets,
  ...edge,
  ...redis,
  ...cluster,
  ...stores,
  ...clusterSecrets,
  ...identity,
];
