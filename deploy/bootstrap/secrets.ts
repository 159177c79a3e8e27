// What must not be known: in Secret Manager first, from there into the cluster. No value is ever the word of a
// command; they go through pipes. `read_model_key` is a function of the script (parts/run.sh).

import { free, type Command, type Resource } from './resource.ts';

const api = 'secretmanager.googleapis.com';

/** A secret, and its first version where it has none. */
function secret(name: string, id: string, kind: string, value: Command, more: Partial<Resource> = {}): Resource[] {
  return [
    {
      ...more,
      name,
      kind,
      id,
      needs: ['services'],
      api,
      look: { has: ['gcloud', 'secrets', 'describe', `{${name}}`] },
      make: [['gcloud', 'secrets', 'create', `{${name}}`, '--replication-policy=automatic']],
      removal: { data: kind, by: [['gcloud', 'secrets', 'delete', `{${name}}`]] },
      costs: 'next to nothing',
    },
    {
      ...more,
      name: `${name}-value`,
      kind: `the value: ${kind}`,
      id: `{${name}}`,
      needs: [name],
      api,
      look: {
        shows: ['gcloud', 'secrets', 'versions', 'list', `{${name}}`, '--filter=state=ENABLED', '--format=value(name)'],
        lines: [],
      },
      make: [[...value, '|', 'gcloud', 'secrets', 'versions', 'add', `{${name}}`, '--data-file=-']],
      removal: { kept: 'it goes with the secret' },
      costs: free,
    },
  ];
}

const random: Command = ['openssl', 'rand', '-hex', '32'];

/** A setting for all roles, as the file of settings that gateways read: one token, of the tenant `default`. */
const tokens: Command = [
  ...random,
  ...['|', 'awk', '{ printf "[[tokens]]\\nname = \\"first\\"\\ntenant = \\"default\\"\\ntoken = \\"%s\\"\\n", $1 }'],
];

export const secrets: readonly Resource[] = [
  ...secret('cluster-secret', 'codex-cluster-secret', 'what the roles know one another by', [
    ...random,
    ...['|', 'tr', '-d', '\\n'],
  ]),
  ...secret('tokens', 'codex-tokens', 'the tokens of callers', tokens),
  ...secret('metrics-token', 'codex-metrics-token', 'what collectors of metrics show', [
    ...random,
    ...['|', 'tr', '-d', '\\n'],
  ]),
  // With Memorystore there is no password, and the address is known when it is made.
  ...secret(
    'redis-url',
    'codex-redis-url',
    'the address of the Valkey in the cluster, with its password',
    [...random, ...['|', 'awk', '{ printf "redis://:%s@codex-redis:6379", $1 }']],
    { profiles: ['dev'] },
  ),
  ...secret('model-key', 'codex-model-key', 'the key of the model', ['read_model_key']),
];

/** In the cluster, where the roles read it. `files`: the key, and a command that writes the value or a file. */
function inCluster(
  name: string,
  id: string,
  needs: readonly string[],
  value: Command,
  more: Partial<Resource>,
): Resource {
  const object: Command = [...value, ...['--namespace={namespace}', '--dry-run=client', '--output=yaml', '|']];
  return {
    name,
    kind: 'secret of the cluster',
    id,
    needs: ['namespace', 'credentials', ...needs],
    api: null,
    look: { same: [...object, 'kubectl', 'diff', '--filename=-'] },
    make: [[...object, 'kubectl', 'apply', '--filename=-']],
    removal: { kept: 'it goes with the namespace' },
    costs: free,
    ...more,
  };
}

function latest(secret: string, key: string, id: string): Command {
  return [
    ...['gcloud', 'secrets', 'versions', 'access', 'latest', `--secret={${secret}}`],
    ...['|', 'kubectl', 'create', 'secret', 'generic', id, `--from-file=${key}=/dev/stdin`],
  ];
}

export const clusterSecrets: readonly Resource[] = [
  {
    name: 'namespace',
    kind: 'namespace of the cluster',
    id: 'codex',
    needs: ['credentials'],
    api: null,
    look: { has: ['kubectl', 'get', 'namespace', '{namespace}'] },
    make: [
      [
        ...['kubectl', 'create', 'namespace', '{namespace}', '--dry-run=client', '--output=yaml'],
        ...['|', 'kubectl', 'apply', '--filename=-'],
      ],
    ],
    // The load balancer is taken down by the cluster while it is there, and by nobody afterwards.
    removal: {
      by: [
        [
          ...['kubectl', 'delete', 'gateways.gateway.networking.k8s.io', '--all', '--namespace={namespace}'],
          ...['--ignore-not-found', '--timeout=15m'],
        ],
        ['kubectl', 'delete', 'namespace', '{namespace}', '--timeout=15m'],
      ],
    },
    costs: free,
  },
  inCluster(
    'cluster-secret-here',
    'codex-cluster',
    ['cluster-secret-value', 'cluster-secret'],
    latest('cluster-secret', 'cluster-secret', '{cluster-secret-here}'),
    {},
  ),
  inCluster(
    'tokens-here',
    'codex-tokens',
    ['tokens-value', 'tokens'],
    latest('tokens', 'fleet.toml', '{tokens-here}'),
    {},
  ),
  inCluster(
    'metrics-token-here',
    'codex-metrics',
    ['metrics-token-value', 'metrics-token'],
    latest('metrics-token', 'token', '{metrics-token-here}'),
    {},
  ),
  inCluster(
    'redis-dev-here',
    'codex-redis',
    ['redis-url-value', 'redis-url'],
    latest('redis-url', 'url', '{redis-dev-here}'),
    { profiles: ['dev'] },
  ),
  {
    name: 'redis-authority',
    kind: 'authority of the certificate of Valkey',
    id: '$WORK/ca.pem',
    profiles: ['prod'],
    needs: ['redis'],
    api: 'memorystore.googleapis.com',
    look: null,
    make: [],
    reads: [
      {
        into: '$WORK/ca.pem',
        command: [
          ...['gcloud', 'memorystore', 'instances', 'get-certificate-authority', '{redis}', '--location=$REGION'],
          ...['--flatten=managedServerCa.caCerts[].certificates[]'],
          '--format=value(managedServerCa.caCerts.certificates)',
        ],
      },
    ],
    removal: { kept: 'a file of the script, gone when it ends' },
    costs: free,
  },
  inCluster(
    'redis-here',
    'codex-redis',
    ['redis', 'redis-authority'],
    [
      ...['kubectl', 'create', 'secret', 'generic', '{redis-here}'],
      ...['--from-literal=url=rediss://$REDIS_HOST:6379', '--from-file=ca.pem={redis-authority}'],
    ],
    { profiles: ['prod'] },
  ),
];
