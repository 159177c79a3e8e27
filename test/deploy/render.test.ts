import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { OverlayNotRendered, type RenderedOverlay } from '../../src/deploy/overlays.ts';
import { rendered, withDeployCopy, withoutKubectl } from './deploy-copy.ts';
import { field, isNamed, listAt, textAt } from './policies/objects.ts';
import type { KubeObject } from './policies/objects.ts';

const skip = withoutKubectl();
const overlays = ['local', 'gke-dev', 'gke-prod'] as const;
const roles = ['gateway', 'pool', 'session-manager', 'model-proxy'].map((role) => `codex-${role}`);

function objectsOf({ manifests }: RenderedOverlay): readonly KubeObject[] {
  return manifests as unknown as readonly KubeObject[];
}

/** `Deployment/codex-gateway`; what has a hash in its name without it. */
function namesOf(overlay: RenderedOverlay): string[] {
  return objectsOf(overlay)
    .map(
      ({ kind, metadata: { name } }) =>
        `${kind}/${/^(ConfigMap|Secret)$/.test(kind) ? name.replace(/-[a-z0-9]{10}$/, '') : name}`,
    )
    .toSorted();
}

function object(overlay: RenderedOverlay, kind: string, name: string): KubeObject {
  const found = objectsOf(overlay).find((each) => each.kind === kind && isNamed(each, name));
  assert.ok(found !== undefined, `${kind} ${name} is not rendered`);
  return found;
}

function podOf(workload: KubeObject): unknown {
  return field(workload, 'spec', 'template', 'spec');
}

/** A kustomization of one's own, of directories beside it. */
async function renderComposed(dir: string, components: readonly string[]): Promise<RenderedOverlay> {
  const own = path.join(dir, 'overlays', 'own');
  await mkdir(own);
  const lines = [
    'apiVersion: kustomize.config.k8s.io/v1beta1',
    'kind: Kustomization',
    'namespace: codex',
    'resources: [../../base]',
    `components: [${components.map((name) => `../../components/${name}`).join(', ')}]`,
  ];
  await writeFile(path.join(own, 'kustomization.yaml'), `${lines.join('\n')}\n`);
  return await rendered(own);
}

const inEach = (kind: string, names: readonly string[]): string[] => names.map((name) => `${kind}/${name}`);
const common = [
  'Namespace/codex',
  'ConfigMap/codex-config',
  'ConfigMap/codex-worker',
  ...inEach('ServiceAccount', roles),
  ...inEach('PodDisruptionBudget', roles),
  ...inEach('NetworkPolicy', ['default-deny', 'codex-dns', ...roles]),
  ...inEach('Service', [
    'codex-gateway',
    'codex-gateway-stream',
    'codex-pool-service',
    'codex-session-manager',
    'codex-model-proxy',
  ]),
  ...inEach('Deployment', ['codex-gateway', 'codex-session-manager', 'codex-model-proxy']),
];
const inClusterRedis = [
  ...['Deployment', 'Service', 'ServiceAccount', 'PodDisruptionBudget', 'NetworkPolicy'].map(
    (kind) => `${kind}/codex-redis`,
  ),
  'NetworkPolicy/codex-redis-clients',
];
const googleEdge = [
  'Gateway/codex-gateway',
  ...inEach('HTTPRoute', ['codex-gateway', 'codex-gateway-redirect']),
  ...inEach('GCPBackendPolicy', ['codex-gateway', 'codex-gateway-stream']),
  ...inEach('HealthCheckPolicy', ['codex-gateway', 'codex-gateway-stream']),
  'GCPGatewayPolicy/codex-gateway',
  'SecretProviderClass/codex-model-key',
  ...inEach('NetworkPolicy', ['codex-gateway-balancer', 'codex-google-identity', 'codex-dns-gke']),
];
const managedPrometheus = [
  ...inEach('PodMonitoring', roles),
  ...inEach(
    'NetworkPolicy',
    ['gateway', 'worker', 'session-manager', 'model-proxy'].map((role) => `codex-metrics-gmp-${role}`),
  ),
  'Role/codex-metrics-secret',
  'RoleBinding/codex-metrics-secret',
];

const expected: Readonly<Record<(typeof overlays)[number], readonly string[]>> = {
  local: [
    ...common,
    ...inClusterRedis,
    'StatefulSet/codex-pool',
    'PersistentVolumeClaim/codex-data',
    ...inEach('Secret', ['codex-cluster', 'codex-metrics', 'codex-redis', 'codex-tokens']),
    ...inEach('NetworkPolicy', ['codex-gateway-anybody', 'codex-webhooks']),
  ],
  'gke-dev': [
    ...common,
    ...inClusterRedis,
    ...googleEdge,
    ...managedPrometheus,
    'StatefulSet/codex-pool',
    'NetworkPolicy/codex-public-https',
  ],
  'gke-prod': [
    ...common,
    ...googleEdge,
    ...managedPrometheus,
    'Deployment/codex-pool',
    ...inEach('HorizontalPodAutoscaler', ['codex-gateway', 'codex-pool']),
    'AutoscalingMetric/codex-pool',
    ...inEach('FQDNNetworkPolicy', ['codex-gateway', 'codex-session-manager', 'codex-model-proxy']),
    ...inEach('NetworkPolicy', ['codex-memorystore', 'codex-webhooks']),
    'Rules/codex-fleet',
  ],
};

for (const overlay of overlays) {
  test(`the overlay ${overlay} renders, to the objects that it should have and no others`, { skip }, async () => {
    assert.deepEqual(namesOf(await rendered(overlay)), expected[overlay].toSorted());
  });
}

test('an overlay with a mistake in it is not rendered, and the words of kubectl say why', { skip }, async () => {
  await withDeployCopy(async (dir) => {
    await assert.rejects(renderComposed(dir, ['gke-gateways']), (error: unknown) => {
      assert.ok(error instanceof OverlayNotRendered);
      assert.match(error.message, /gke-gateways/);
      return true;
    });
  });
});

for (const overlay of ['gke-dev', 'gke-prod'] as const) {
  test(`one file makes ${overlay} one's own: settings.env reaches every object, and what is left unset is named`, {
    skip,
  }, async () => {
    await withDeployCopy(async (dir) => {
      const own = path.join(dir, 'overlays', overlay);
      const file = path.join(own, 'settings', 'settings.env');
      const digests = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
      const given: Readonly<Record<string, string>> = {
        PROJECT: 'acme-agents',
        REGION: 'europe-west4',
        HOST: 'agents.acme.example',
        FLEET_DIGEST: digests[0],
        WORKER_DIGEST: digests[1],
        DATABASE: 'agents',
        BUCKET: 'acme-snapshots',
        MODEL_PROVIDER: 'responses',
        MODEL_BASE_URL: 'https://models.acme.example/v1',
        REDIS_RANGE: '10.99.0.0/29',
      };
      const lines = (await readFile(file, 'utf8')).split('\n');
      assert.deepEqual(
        lines.filter((line) => /^[A-Z]/.test(line)).map((line) => line.split('=')[0]),
        Object.keys(given),
        'the keys of settings.env',
      );
      const filled = (without: string): string =>
        lines
          .map((line) =>
            line.replace(/^([A-Z_]+)=.*/, (whole, key: string) => (key === without ? whole : `${key}=${given[key]}`)),
          )
          .join('\n');

      await writeFile(file, filled(''));
      const result = await rendered(own);
      assert.deepEqual(result.unset, []);
      const images = [...result.text.matchAll(/image: (\S+codex-fleet\S*)/g)].map((match) => match[1]);
      const registry = 'europe-west4-docker.pkg.dev/acme-agents/codex';
      assert.deepEqual(
        new Set(images),
        new Set([`${registry}/codex-fleet@${digests[0]}`, `${registry}/codex-fleet-worker@${digests[1]}`]),
      );
      const settings = field(object(result, 'ConfigMap', 'codex-config'), 'data');
      assert.equal(field(settings, 'CODEX_FLEET_GOOGLE_PROJECT'), 'acme-agents');
      assert.equal(field(settings, 'CODEX_FLEET_GOOGLE_DATABASE'), 'agents');
      assert.equal(field(settings, 'CODEX_FLEET_GOOGLE_BUCKET'), 'acme-snapshots');
      for (const route of ['codex-gateway', 'codex-gateway-redirect']) {
        assert.deepEqual(field(object(result, 'HTTPRoute', route), 'spec', 'hostnames'), ['agents.acme.example']);
      }
      assert.match(result.text, /resourceName: "projects\/acme-agents\/secrets\/codex-model-key\/versions\/latest"/);
      assert.match(result.text, /name: CODEX_FLEET_BASE_URL\s+value: https:\/\/models\.acme\.example\/v1/);
      assert.ok(!result.text.includes('codex-settings'), 'the settings themselves are not applied');
      if (overlay === 'gke-prod') {
        assert.match(result.text, /- name: models\.acme\.example/);
        assert.match(result.text, /cidr: 10\.99\.0\.0\/29/);
      }

      for (const [key, word] of [
        ['PROJECT', /PROJECT_ID/],
        ['BUCKET', /PROJECT_ID/],
        ['REGION', /REGION/],
        ['HOST', /codex\.example\.com/],
        ['WORKER_DIGEST', /digests/],
      ] as const) {
        await writeFile(file, filled(key));
        assert.match((await rendered(own)).unset.join('\n'), word, `${key} left as it was`);
      }
    });
  });
}

test('streams have a backend of their own: WebSockets, exec, and whoever asks for text/event-stream', {
  skip,
}, async () => {
  const prod = await rendered('gke-prod');
  const rules = listAt(object(prod, 'HTTPRoute', 'codex-gateway'), 'spec', 'rules');
  const told = rules.map((rule) => ({
    to: field(listAt(rule, 'backendRefs')[0], 'name'),
    when: listAt(rule, 'matches').map((match) => {
      const header = textAt(match, 'headers', 0, 'value');
      return `${textAt(match, 'path', 'value') ?? ''}${header === null ? '' : ` ${header}`}`;
    }),
  }));
  assert.deepEqual(told, [
    { to: 'codex-gateway-stream', when: ['/ws', '/', '/api/v1/exec', '/ text/event-stream'] },
    { to: 'codex-gateway', when: ['/'] },
  ]);
  const timeout = (name: string) => field(object(prod, 'GCPBackendPolicy', name), 'spec', 'default', 'timeoutSec');
  assert.deepEqual([timeout('codex-gateway'), timeout('codex-gateway-stream')], [620, 86_400]);
});

test('a pool that is a Deployment has the pods of the StatefulSet, with a disk that goes with the pod', {
  skip,
}, async () => {
  await withDeployCopy(async (dir) => {
    const plain = podOf(object(await renderComposed(dir, []), 'StatefulSet', 'codex-pool'));
    const prod = object(await rendered('gke-prod'), 'Deployment', 'codex-pool');
    assert.equal(field(prod, 'spec', 'volumeClaimTemplates'), undefined);
    assert.equal(field(prod, 'spec', 'serviceName'), undefined);
    const container = (pod: unknown): Readonly<Record<string, unknown>> =>
      field(pod, 'containers', 0) as Readonly<Record<string, unknown>>;
    for (const key of [
      'args',
      'ports',
      'startupProbe',
      'livenessProbe',
      'readinessProbe',
      'securityContext',
      'lifecycle',
    ]) {
      assert.deepEqual(container(podOf(prod))[key], container(plain)[key], key);
    }
    const volumes = listAt(podOf(prod), 'volumes').map((volume) => field(volume, 'name'));
    assert.deepEqual(volumes, ['tmp', 'settings', 'data', 'redis-ca']);
    assert.notEqual(field(listAt(podOf(prod), 'volumes')[2], 'ephemeral'), undefined);
    assert.equal(field(podOf(prod), 'runtimeClassName'), 'gvisor');
  });
});

test('the components that no overlay uses render too', { skip }, async () => {
  const monitors = await withDeployCopy((dir) => renderComposed(dir, ['service-monitor']));
  assert.deepEqual(
    namesOf(monitors).filter((name) => name.startsWith('ServiceMonitor/')),
    inEach('ServiceMonitor', roles).toSorted(),
  );

  const balloon = await withDeployCopy((dir) => renderComposed(dir, ['pool-deployment', 'balloon', 'gke-gvisor']));
  const [pool, room] = ['codex-pool', 'codex-balloon'].map((name) => podOf(object(balloon, 'Deployment', name)));
  assert.deepEqual(
    field(room, 'containers', 0, 'resources'),
    field(pool, 'containers', 0, 'resources'),
    'the room of a worker',
  );
  assert.equal(field(room, 'runtimeClassName'), 'gvisor', 'on a node of the same kind');
  assert.equal(field(object(balloon, 'PriorityClass', 'codex-balloon'), 'value'), -10);
});

test('a changed setting gives the config map another name, so that every pod is replaced', { skip }, async () => {
  await withDeployCopy(async (dir) => {
    const local = path.join(dir, 'overlays', 'local');
    const nameOfConfig = async () => object(await rendered(local), 'ConfigMap', 'codex-config').metadata.name;
    const before = await nameOfConfig();
    assert.equal(await nameOfConfig(), before);
    const file = path.join(dir, 'base', 'config.env');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('CODEX_FLEET_LOG_LEVEL=info', 'CODEX_FLEET_LOG_LEVEL=debug'),
    );
    assert.notEqual(await nameOfConfig(), before);
  });
});

test('local needs no cloud: no kind, address or image of Google, and nothing to edit', { skip }, async () => {
  const { text, unset } = await rendered('local');
  assert.doesNotMatch(text, /gke|googleapis|google|gcr|pkg\.dev|169\.254\.169/i);
  assert.deepEqual(unset, []);
});
