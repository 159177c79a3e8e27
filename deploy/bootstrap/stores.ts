// Where the fleet keeps things: Memorystore for Valkey, Cloud Storage, Pub/Sub; the records are in firestore.ts.

import { firestore } from './firestore.ts';
import { free, grant, type Profile, type Resource } from './resource.ts';

const prod: readonly Profile[] = ['prod'];

export const redis: readonly Resource[] = [
  {
    // Of its own, so that a network policy can say: there, and nowhere else.
    name: 'redis-subnet',
    kind: 'subnetwork of the endpoints of Valkey',
    id: 'codex-redis',
    profiles: prod,
    needs: ['network'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'networks', 'subnets', 'describe', '{redis-subnet}', '--region=$REGION'] },
    make: [
      [
        ...['gcloud', 'compute', 'networks', 'subnets', 'create', '{redis-subnet}', '--region=$REGION'],
        ...['--network={network}', '--range=10.40.0.0/29'],
      ],
    ],
    removal: { by: [['gcloud', 'compute', 'networks', 'subnets', 'delete', '{redis-subnet}', '--region=$REGION']] },
    costs: free,
  },
  {
    // Lets Memorystore put its endpoints into that subnetwork (Private Service Connect).
    name: 'redis-connections',
    kind: 'service connection policy',
    id: 'codex-redis',
    profiles: prod,
    needs: ['network', 'redis-subnet', 'services-prod'],
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
        '--subnets=https://www.googleapis.com/compute/v1/projects/$PROJECT/regions/$REGION/subnetworks/{redis-subnet}',
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

const givesUp = grant({
  name: 'pubsub-gives-up',
  group: ['pubsub', 'topics'],
  target: '{dead-topic}',
  role: 'roles/pubsub.publisher',
  member: agent,
  needs: ['dead-topic', 'pubsub-agent', 'project'],
  api: 'pubsub.googleapis.com',
});

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
    needs: ['dead-topic', 'project'],
    api: 'pubsub.googleapis.com',
    // Who was granted something is there.
    look: givesUp.look,
    make: [['gcloud', 'beta', 'services', 'identity', 'create', '--service=pubsub.googleapis.com']],
    removal: { kept: "it is Google's" },
    costs: free,
  },
  givesUp,
  grant({
    name: 'pubsub-takes-back',
    group: ['pubsub', 'subscriptions'],
    target: '{jobs}',
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
