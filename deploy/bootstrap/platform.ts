// What the workloads stand on: the project's services, the network, the registry of images, who builds and who
// pulls them, and the cluster.

import { free, grant, type Profile, type Resource } from './resource.ts';

function services(name: string, apis: readonly string[], more: Partial<Resource> = {}): Resource {
  return {
    name,
    kind: 'services of the project',
    id: apis.join(' '),
    needs: ['project'],
    api: null,
    look: { shows: ['gcloud', 'services', 'list', '--enabled', '--format=value(config.name)'], lines: apis },
    make: [['gcloud', 'services', 'enable', ...apis]],
    removal: { kept: 'other things of the project may use them, and they cost nothing' },
    costs: free,
    ...more,
  };
}

const prod: readonly Profile[] = ['prod'];

const apis = [
  'artifactregistry',
  'certificatemanager',
  'cloudbuild',
  'cloudresourcemanager',
  'compute',
  'container',
  'firestore',
  'iam',
  'logging',
  'monitoring',
  'pubsub',
  'secretmanager',
  'storage',
].map((api) => `${api}.googleapis.com`);

const apisOfProd = ['containerscanning', 'memorystore', 'networkconnectivity', 'serviceconsumermanagement'].map(
  (api) => `${api}.googleapis.com`,
);

const network: readonly Resource[] = [
  {
    name: 'network',
    kind: 'VPC network',
    id: 'codex',
    needs: ['services'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'networks', 'describe', '{network}'] },
    make: [['gcloud', 'compute', 'networks', 'create', '{network}', '--subnet-mode=custom']],
    removal: { by: [['gcloud', 'compute', 'networks', 'delete', '{network}']] },
    costs: free,
  },
  {
    name: 'subnet',
    kind: 'subnetwork with ranges for pods and services',
    id: 'codex',
    needs: ['network'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'networks', 'subnets', 'describe', '{subnet}', '--region=$REGION'] },
    make: [
      [
        ...['gcloud', 'compute', 'networks', 'subnets', 'create', '{subnet}', '--region=$REGION'],
        ...['--network={network}', '--range=10.10.0.0/20', '--secondary-range=pods=10.20.0.0/16,services=10.30.0.0/20'],
        '--enable-private-ip-google-access',
      ],
    ],
    removal: { by: [['gcloud', 'compute', 'networks', 'subnets', 'delete', '{subnet}', '--region=$REGION']] },
    costs: free,
  },
  {
    name: 'router',
    kind: 'Cloud Router',
    id: 'codex',
    needs: ['network'],
    api: 'compute.googleapis.com',
    look: { has: ['gcloud', 'compute', 'routers', 'describe', '{router}', '--region=$REGION'] },
    make: [['gcloud', 'compute', 'routers', 'create', '{router}', '--region=$REGION', '--network={network}']],
    removal: { by: [['gcloud', 'compute', 'routers', 'delete', '{router}', '--region=$REGION']] },
    costs: free,
  },
  {
    // Nodes have no address of their own: without this neither the model nor an image of another registry is reached.
    name: 'nat',
    kind: 'Cloud NAT',
    id: 'codex',
    needs: ['router', 'subnet'],
    api: 'compute.googleapis.com',
    look: {
      has: ['gcloud', 'compute', 'routers', 'nats', 'describe', '{nat}', '--router={router}', '--region=$REGION'],
    },
    make: [
      [
        ...['gcloud', 'compute', 'routers', 'nats', 'create', '{nat}', '--router={router}', '--region=$REGION'],
        ...['--auto-allocate-nat-external-ips', '--nat-all-subnet-ip-ranges', '--enable-dynamic-port-allocation'],
        ...['--enable-logging', '--log-filter=ERRORS_ONLY'],
      ],
    ],
    removal: {
      by: [['gcloud', 'compute', 'routers', 'nats', 'delete', '{nat}', '--router={router}', '--region=$REGION']],
    },
    costs: 'a little, by the hour, and by the gigabyte that goes out',
  },
];

const accounts: readonly Resource[] = ['nodes', 'build'].map((role) => ({
  name: `${role}-account`,
  kind: `service account of the ${role === 'nodes' ? 'nodes' : 'image builds'}`,
  id: `codex-${role}@$PROJECT.iam.gserviceaccount.com`,
  needs: ['services'],
  api: 'iam.googleapis.com',
  look: { has: ['gcloud', 'iam', 'service-accounts', 'describe', `{${role}-account}`] },
  make: [['gcloud', 'iam', 'service-accounts', 'create', `codex-${role}`, `--display-name=Codex Fleet: ${role}`]],
  removal: { by: [['gcloud', 'iam', 'service-accounts', 'delete', `{${role}-account}`]] },
  costs: free,
}));

const repository = { group: ['artifacts', 'repositories'], target: '{images}', at: ['--location=$REGION'] };

const images: readonly Resource[] = [
  {
    name: 'images',
    kind: 'Artifact Registry repository',
    id: 'codex',
    needs: ['services'],
    api: 'artifactregistry.googleapis.com',
    look: { has: ['gcloud', 'artifacts', 'repositories', 'describe', '{images}', '--location=$REGION'] },
    make: [
      [
        ...['gcloud', 'artifacts', 'repositories', 'create', '{images}', '--location=$REGION'],
        ...['--repository-format=docker', '--description=Images of Codex Fleet'],
      ],
    ],
    removal: { by: [['gcloud', 'artifacts', 'repositories', 'delete', '{images}', '--location=$REGION']] },
    costs: 'little: storage of the images',
  },
  {
    name: 'build-sources',
    kind: 'bucket of what is sent to Cloud Build',
    id: '$PROJECT-codex-build',
    needs: ['services'],
    api: 'storage.googleapis.com',
    look: { has: ['gcloud', 'storage', 'buckets', 'describe', 'gs://{build-sources}'] },
    make: [
      [
        ...['gcloud', 'storage', 'buckets', 'create', 'gs://{build-sources}', '--location=$REGION'],
        ...['--uniform-bucket-level-access', '--public-access-prevention', '--soft-delete-duration=0'],
      ],
    ],
    removal: { by: [['gcloud', 'storage', 'rm', '--recursive', 'gs://{build-sources}']] },
    costs: 'next to nothing',
  },
  grant({
    name: 'build-writes-images',
    ...repository,
    role: 'roles/artifactregistry.writer',
    member: 'serviceAccount:{build-account}',
    needs: ['images', 'build-account'],
    api: 'artifactregistry.googleapis.com',
  }),
  grant({
    name: 'build-reads-sources',
    group: ['storage', 'buckets'],
    target: 'gs://{build-sources}',
    role: 'roles/storage.objectUser',
    member: 'serviceAccount:{build-account}',
    needs: ['build-sources', 'build-account'],
    api: 'storage.googleapis.com',
  }),
  grant({
    name: 'build-writes-logs',
    group: ['projects'],
    target: '$PROJECT',
    role: 'roles/logging.logWriter',
    member: 'serviceAccount:{build-account}',
    needs: ['build-account', 'project'],
    api: 'cloudresourcemanager.googleapis.com',
  }),
  grant({
    name: 'nodes-read-images',
    ...repository,
    role: 'roles/artifactregistry.reader',
    member: 'serviceAccount:{nodes-account}',
    needs: ['images', 'nodes-account'],
    api: 'artifactregistry.googleapis.com',
  }),
  grant({
    name: 'nodes-report',
    group: ['projects'],
    target: '$PROJECT',
    role: 'roles/container.defaultNodeServiceAccount',
    member: 'serviceAccount:{nodes-account}',
    needs: ['nodes-account', 'project'],
    api: 'cloudresourcemanager.googleapis.com',
  }),
];

export const cluster: readonly Resource[] = [
  {
    name: 'cluster',
    kind: 'GKE Autopilot cluster',
    id: 'codex',
    needs: ['network', 'subnet', 'nat', 'nodes-account', 'nodes-read-images', 'nodes-report'],
    api: 'container.googleapis.com',
    look: { has: ['gcloud', 'container', 'clusters', 'describe', '{cluster}', '--location=$REGION'] },
    // Gateway API, Dataplane V2, Workload Identity, managed Prometheus: Autopilot has them without being asked.
    make: [
      [
        ...['gcloud', 'container', 'clusters', 'create-auto', '{cluster}', '--location=$REGION'],
        ...['--release-channel=regular', '--network={network}', '--subnetwork={subnet}'],
        ...['--cluster-secondary-range-name=pods', '--services-secondary-range-name=services'],
        ...['--enable-private-nodes', '--enable-dns-access', '--no-enable-ip-access', '--enable-secret-manager'],
        '--service-account={nodes-account}',
      ],
    ],
    update: [
      [...['gcloud', 'container', 'clusters', 'update', '{cluster}', '--location=$REGION'], '--enable-secret-manager'],
    ],
    ready: {
      shows: [
        ...['gcloud', 'container', 'clusters', 'describe', '{cluster}', '--location=$REGION'],
        '--format=value(status)',
      ],
      line: 'RUNNING',
      minutes: 30,
    },
    reads: [
      {
        into: 'CLUSTER_VERSION',
        command: [
          ...['gcloud', 'container', 'clusters', 'describe', '{cluster}', '--location=$REGION'],
          '--format=value(currentMasterVersion)',
        ],
      },
    ],
    removal: { by: [['gcloud', 'container', 'clusters', 'delete', '{cluster}', '--location=$REGION']] },
    costs: "the cluster's fee (one is free for each billing account), and what the pods ask for: the largest part",
  },
  {
    name: 'fqdn-policies',
    kind: "the cluster's network policies by host name",
    id: '{cluster}',
    profiles: prod,
    needs: ['cluster'],
    api: 'container.googleapis.com',
    look: {
      shows: [
        ...['gcloud', 'container', 'clusters', 'describe', '{cluster}', '--location=$REGION'],
        '--format=value(networkConfig.enableFqdnNetworkPolicy)',
      ],
      lines: ['True'],
    },
    make: [
      [
        ...['gcloud', 'container', 'clusters', 'update', '{cluster}', '--location=$REGION'],
        '--enable-fqdn-network-policy',
      ],
    ],
    removal: { kept: 'they go with the cluster' },
    costs: free,
  },
  {
    name: 'credentials',
    kind: "the script's own way into the cluster",
    id: '$KUBECONFIG',
    needs: ['cluster'],
    api: 'container.googleapis.com',
    look: null,
    make: [
      [...['gcloud', 'container', 'clusters', 'get-credentials', '{cluster}', '--location=$REGION'], '--dns-endpoint'],
    ],
    removal: { kept: 'a file of the script, gone when it ends' },
    costs: free,
  },
];

export const platform: readonly Resource[] = [
  {
    name: 'project',
    kind: 'project',
    id: '$PROJECT',
    needs: [],
    api: null,
    look: null,
    make: [],
    reads: [
      {
        into: 'PROJECT_NUMBER',
        command: ['gcloud', 'projects', 'describe', '{project}', '--format=value(projectNumber)'],
      },
    ],
    removal: { kept: 'it was there before' },
    costs: free,
  },
  services('services', apis),
  services('services-prod', apisOfProd, {
    profiles: prod,
    needs: ['services'],
    costs: 'a little for each image that is scanned',
  }),
  services('services-dns', ['dns.googleapis.com'], { when: 'DNS_ZONE', needs: ['services'] }),
  ...network,
  ...accounts,
  ...images,
];
