// Where the fleet keeps things: Memorystore for Valkey, Firestore, Cloud Storage, Pub/Sub.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { free, grant, type Profile, type Resource } from './resource.ts';

const prod: readonly Profile[] = ['prod'];
const deploy = path.dirname(import.meta.dirname);

export const redis: readonly Resource[] = [
  {
    // Lets Memorystore put its endpoints into our subnetwork (Private Service Connect).
    name: 'redis-connections',
    kind: 'service connection policy',
    id: 'codex-redis',
    profiles: prod,
    needs: ['subnet', 'services-prod'],
    api: 'networkconnectivity.googleapis.com',
    look: {
      has: [
        ...['gcloud', 'network-connectivity', 'service-connection-policies', 'describe', '{redis-connections}'],
        '--region=$REGION',
      ],
    },
    make: [
      [
        ...['gcloud', 'network-connectivity', 'service-connection-policies', 'create', '{redis-connections}'],
        ...['--region=$REGION', '--network={network}', '--service-class=gcp-memorystore'],
        '--subnets=https://www.googleapis.com/compute/v1/projects/$PROJECT/regions/$REGION/subnetworks/{subnet}',
      ],
    ],
    removal: {
      by: [
        [
          ...['gcloud', 'network-connectivity', 'service-connection-policies', 'delete', '{redis-connections}'],
          '--region=$REGION',
        ],
      ],
    },
    costs: free,
  },
  {
    name: 'redis',
    kind: 'Memorystore for Valkey',
    id: 'codex',
    profiles: prod,
    needs: ['redis-connections', 'network', 'services-prod'],
    api: 'memorystore.googleapis.com',
    look: { has: ['gcloud', 'memorystore', 'instances', 'describe', '{redis}', '--location=$REGION'] },
    // No eviction: an evicted key is a lost lease. No IAM authentication: its tokens end within the hour, and who
    // gets to the address at all is decided by the network and the policies of the pods.
    make: [
      [
        ...['gcloud', 'memorystore', 'instances', 'create', '{redis}', '--location=$REGION'],
        ...['--mode=cluster-disabled', '--shard-count=1', '--replica-count=1', '--node-type=standard-small'],
        ...['--engine-version=VALKEY_8_0', '--engine-configs=maxmemory-policy=noeviction'],
        ...['--transit-encryption-mode=server-authentication', '--authorization-mode=auth-disabled'],
        ...['--persistence-config-mode=aof', '--aof-config-append-fsync=every-sec', '--deletion-protection-enabled'],
        '--endpoints=[{"connections":[{"pscAutoConnection":{"network":"projects/$PROJECT/global/networks/{network}","projectId":"$PROJECT"}}]}]',
      ],
    ],
    ready: {
      shows: [
        ...['gcloud', 'memorystore', 'instances', 'describe', '{redis}', '--location=$REGION'],
        '--format=value(state)',
      ],
      line: 'ACTIVE',
      minutes: 30,
    },
    reads: [
      {
        into: 'REDIS_HOST',
        command: [
          ...['gcloud', 'memorystore', 'instances', 'describe', '{redis}', '--location=$REGION'],
          '--flatten=endpoints[].connections[]',
          '--format=value(endpoints.connections.pscAutoConnection.connectionType,endpoints.connections.pscAutoConnection.ipAddress)',
          ...['|', 'awk', '$1 == "CONNECTION_TYPE_PRIMARY" { print $2 }'],
        ],
      },
    ],
    removal: {
      by: [
        [
          ...['gcloud', 'memorystore', 'instances', 'update', '{redis}', '--location=$REGION'],
          '--no-deletion-protection-enabled',
        ],
        ['gcloud', 'memorystore', 'instances', 'delete', '{redis}', '--location=$REGION'],
      ],
    },
    costs: 'the second largest part: two nodes, by the hour',
  },
];

const firestore: readonly Resource[] = [
  {
    name: 'records',
    kind: 'Firestore database',
    id: 'codex',
    needs: ['services'],
    api: 'firestore.googleapis.com',
    look: { has: ['gcloud', 'firestore', 'databases', 'describe', '--database={records}'] },
    make: [
      [
        ...['gcloud', 'firestore', 'databases', 'create', '--database={records}', '--location=$FIRESTORE_LOCATION'],
        ...['--type=firestore-native', '--edition=standard', '--delete-protection', '--enable-pitr'],
      ],
    ],
    update: [
      [
        ...['gcloud', 'firestore', 'databases', 'update', '--database={records}'],
        ...['--delete-protection', '--enable-pitr'],
      ],
    ],
    removal: {
      data: 'sessions, turns, jobs: the records',
      by: [
        ['gcloud', 'firestore', 'databases', 'update', '--database={records}', '--no-delete-protection'],
        ['gcloud', 'firestore', 'databases', 'delete', '--database={records}'],
      ],
    },
    costs: 'by use: reads and writes of turns, storage, a week of its past',
  },
  ...indexes(),
];

type IndexFile = {
  readonly indexes: readonly {
    readonly collectionGroup: string;
    readonly queryScope: string;
    readonly fields: readonly { readonly fieldPath: string; readonly order: string }[];
  }[];
  readonly fieldOverrides: readonly {
    readonly collectionGroup: string;
    readonly fieldPath: string;
    readonly ttl?: boolean;
  }[];
};

/** One row for each line of deploy/firestore/firestore.indexes.json. They go with the database. */
function indexes(): Resource[] {
  const file = JSON.parse(
    readFileSync(path.join(deploy, 'firestore/firestore.indexes.json'), 'utf8'),
  ) as IndexFile;
  const common = {
    needs: ['records'],
    api: 'firestore.googleapis.com',
    removal: { kept: 'they go with the database' },
    costs: 'in the storage of the database',
  };
  const composite = file.indexes.map(({ collectionGroup, queryScope, fields }): Resource => {
    const paths = fields.map(({ fieldPath }) => fieldPath);
    const orders = fields.map(({ order }) => order);
    // Google adds the name of the document, in the order of the last field.
    const line = [collectionGroup, queryScope, [...paths, '__name__'], [...orders, orders.at(-1)]].join('|');
    return {
      ...common,
      name: `index-${collectionGroup}-${queryScope.toLowerCase().replace('_', '-')}-${fields.map((field) => `${field.fieldPath}-${field.order.toLowerCase()}`).join('-')}`,
      kind: 'composite index',
      id: line,
      look: {
        shows: [
          ...['gcloud', 'firestore', 'indexes', 'composite', 'list', '--database={records}'],
          "--format=value[separator='|'](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())",
        ],
        lines: [line],
      },
      make: [
        [
          ...['gcloud', 'firestore', 'indexes', 'composite', 'create', '--database={records}', '--async'],
          ...[`--collection-group=${collectionGroup}`, `--query-scope=${queryScope.toLowerCase().replace('_', '-')}`],
          ...fields.map((field) => `--field-config=field-path=${field.fieldPath},order=${field.order.toLowerCase()}`),
        ],
      ],
    };
  });
  const fields = file.fieldOverrides.flatMap(({ collectionGroup, fieldPath, ttl }): Resource[] => {
    const name = `field-${collectionGroup}-${fieldPath}`;
    const format = "--format=value[separator='|'](name.segment(-3),name.segment(-1))";
    const at = ['--database={records}', `--collection-group=${collectionGroup}`];
    const line = `${collectionGroup}|${fieldPath}`;
    const unindexed: Resource = {
      ...common,
      name,
      kind: 'field without an index',
      id: line,
      look: { shows: ['gcloud', 'firestore', 'indexes', 'fields', 'list', '--database={records}', format], lines: [line] },
      // Not in the background where a second change of the same field follows: that one would be refused.
      make: [
        [
          ...['gcloud', 'firestore', 'indexes', 'fields', 'update', fieldPath, ...at, '--disable-indexes'],
          ...(ttl === true ? [] : ['--async']),
        ],
      ],
    };
    if (ttl !== true) return [unindexed];
    const expiring: Resource = {
      ...common,
      name: `ttl-${collectionGroup}-${fieldPath}`,
      kind: 'time to live',
      id: line,
      needs: ['records', name],
      look: { shows: ['gcloud', 'firestore', 'fields', 'ttls', 'list', '--database={records}', format], lines: [line] },
      make: [['gcloud', 'firestore', 'fields', 'ttls', 'update', fieldPath, ...at, '--enable-ttl', '--async']],
    };
    return [unindexed, expiring];
  });
  return [...composite, ...fields];
}

const bucket: readonly Resource[] = [
  {
    name: 'snapshots',
    kind: 'bucket of the snapshots',
    id: '$PROJECT-codex-snapshots',
    needs: ['services'],
    api: 'storage.googleapis.com',
    look: { has: ['gcloud', 'storage', 'buckets', 'describe', 'gs://{snapshots}'] },
    make: [
      [
        ...['gcloud', 'storage', 'buckets', 'create', 'gs://{snapshots}', '--location=$REGION'],
        ...['--uniform-bucket-level-access', '--public-access-prevention', '--soft-delete-duration=$SOFT_DELETE'],
        '--lifecycle-file=$DEPLOY/storage/lifecycle.json',
      ],
    ],
    update: [
      [
        ...['gcloud', 'storage', 'buckets', 'update', 'gs://{snapshots}', '--uniform-bucket-level-access'],
        ...['--public-access-prevention', '--soft-delete-duration=$SOFT_DELETE'],
        '--lifecycle-file=$DEPLOY/storage/lifecycle.json',
      ],
    ],
    removal: {
      data: 'workspaces and conversations: the snapshots',
      by: [['gcloud', 'storage', 'rm', '--recursive', 'gs://{snapshots}']],
    },
    costs: 'by use: storage and a few operations a turn',
  },
];

function topic(name: string, id: string): Resource {
  return {
    name,
    kind: 'Pub/Sub topic',
    id,
    needs: ['services'],
    api: 'pubsub.googleapis.com',
    look: { has: ['gcloud', 'pubsub', 'topics', 'describe', `{${name}}`] },
    make: [['gcloud', 'pubsub', 'topics', 'create', `{${name}}`, '--message-retention-duration=7d']],
    removal: { by: [['gcloud', 'pubsub', 'topics', 'delete', `{${name}}`]] },
    costs: 'by use, next to nothing',
  };
}

const agent = 'serviceAccount:service-$PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com';

const pubsub: readonly Resource[] = [
  topic('jobs-topic', 'codex-jobs'),
  topic('dead-topic', 'codex-jobs-dead'),
  topic('events-topic', 'codex-events'),
  {
    name: 'jobs',
    kind: 'Pub/Sub subscription',
    id: 'codex-jobs',
    needs: ['jobs-topic', 'dead-topic'],
    api: 'pubsub.googleapis.com',
    look: { has: ['gcloud', 'pubsub', 'subscriptions', 'describe', '{jobs}'] },
    make: [
      [
        ...['gcloud', 'pubsub', 'subscriptions', 'create', '{jobs}', '--topic={jobs-topic}'],
        ...['--enable-message-ordering', '--expiration-period=never', ...delivery()],
      ],
    ],
    update: [['gcloud', 'pubsub', 'subscriptions', 'update', '{jobs}', ...delivery()]],
    removal: { by: [['gcloud', 'pubsub', 'subscriptions', 'delete', '{jobs}']] },
    costs: 'by use, next to nothing',
  },
  {
    // What was given up is kept for people to look at: a topic without a subscription keeps nothing for them.
    name: 'dead-jobs',
    kind: 'Pub/Sub subscription',
    id: 'codex-jobs-dead',
    needs: ['dead-topic'],
    api: 'pubsub.googleapis.com',
    look: { has: ['gcloud', 'pubsub', 'subscriptions', 'describe', '{dead-jobs}'] },
    make: [
      [
        ...['gcloud', 'pubsub', 'subscriptions', 'create', '{dead-jobs}', '--topic={dead-topic}'],
        ...['--message-retention-duration=7d', '--expiration-period=never'],
      ],
    ],
    removal: { by: [['gcloud', 'pubsub', 'subscriptions', 'delete', '{dead-jobs}']] },
    costs: 'by use, next to nothing',
  },
  {
    // Made by Google when Pub/Sub is first used, perhaps after we need it.
    name: 'pubsub-agent',
    kind: "Pub/Sub's own service account",
    id: agent,
    needs: ['services', 'project'],
    api: 'pubsub.googleapis.com',
    look: null,
    make: [['gcloud', 'beta', 'services', 'identity', 'create', '--service=pubsub.googleapis.com']],
    removal: { kept: "it is Google's" },
    costs: free,
  },
  grant({
    name: 'pubsub-gives-up',
    on: ['pubsub', 'topics', '{dead-topic}'],
    role: 'roles/pubsub.publisher',
    member: agent,
    needs: ['dead-topic', 'pubsub-agent', 'project'],
    api: 'pubsub.googleapis.com',
  }),
  grant({
    name: 'pubsub-takes-back',
    on: ['pubsub', 'subscriptions', '{jobs}'],
    role: 'roles/pubsub.subscriber',
    member: agent,
    needs: ['jobs', 'pubsub-agent', 'project'],
    api: 'pubsub.googleapis.com',
  }),
];

function delivery(): string[] {
  return [
    ...['--ack-deadline=60', '--min-retry-delay=10s', '--max-retry-delay=600s', '--message-retention-duration=7d'],
    ...['--dead-letter-topic={dead-topic}', '--max-delivery-attempts=20'],
  ];
}

export const stores: readonly Resource[] = [...firestore, ...bucket, ...pubsub];

