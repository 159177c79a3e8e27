// Who pods are, and what they know: no token of Kubernetes in any of them, no identity at Google for workers,
// no secret in what lies in git.

import { parseDocument } from 'yaml';
import { configured } from './effective-settings.ts';
import { contentOf } from './environment.ts';
import {
  allContainers,
  field,
  labelsAt,
  listAt,
  named,
  nameOf,
  ofKind,
  problem,
  textAt,
  workloads,
} from './objects.ts';
import type { KubeObject } from './objects.ts';
import type { Policy } from './policy.ts';

const identityAnnotations = ['iam.gke.io/gcp-service-account', 'iam.gke.io/return-principal-id-as-email'];

/** What keys and tokens look like, and settings that hold one. */
const secretTexts: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  /\bsk-[A-Za-z0-9_-]{16,}/,
  /\bAIza[0-9A-Za-z_-]{35}\b/,
  /\bya29\.[0-9A-Za-z_-]+/,
  /"private_key"\s*:/,
  /\brediss?:\/\/[^:@/\s]*:[^@/\s]+@/,
  /^\s*token\s*=\s*["'][^"']{16,}["']/m,
];
const secretKeys =
  /^(CODEX_FLEET_CLUSTER_SECRET|OPENAI_API_KEY|.*_PASSWORD|.*_TOKEN|.*_API_KEY|cluster-secret|api-key)$/;

function isWorkerAccount(object: KubeObject): boolean {
  return object.metadata.name === 'codex-pool';
}

export const identityPolicy: Policy = {
  name: 'identity',
  promise: 'no pod holds a token it does not need, workers are nobody at Google, and no secret lies in git',
  rules: [
    {
      name: 'no-token-mounted',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, pod }) =>
          pod.automountServiceAccountToken === false
            ? []
            : [
                problem(
                  object,
                  'automountServiceAccountToken',
                  pod.automountServiceAccountToken,
                  'only false: none calls the Kubernetes API',
                ),
              ],
        ),
    },
    {
      name: 'account-mounts-none',
      check: (rendered) =>
        ofKind(rendered, 'ServiceAccount').flatMap((account) =>
          field(account, 'automountServiceAccountToken') === false
            ? []
            : [
                problem(
                  account,
                  'automountServiceAccountToken',
                  field(account, 'automountServiceAccountToken'),
                  'only false',
                ),
              ],
        ),
    },
    {
      name: 'no-projected-token',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, pod }) =>
          (pod.volumes ?? [])
            .filter(({ projected }) =>
              (projected?.sources ?? []).some(({ serviceAccountToken }) => serviceAccountToken !== undefined),
            )
            .map(({ name }) => problem(object, `volume ${name}`, 'serviceAccountToken', 'no token is mounted')),
        ),
    },
    {
      name: 'worker-is-nobody',
      check: (rendered) => [
        ...ofKind(rendered, 'ServiceAccount')
          .filter(isWorkerAccount)
          .flatMap((account) =>
            identityAnnotations
              .filter((name) => labelsAt(account, 'metadata', 'annotations')[name] !== undefined)
              .map((name) =>
                problem(
                  account,
                  `annotation ${name}`,
                  labelsAt(account, 'metadata', 'annotations')[name],
                  'none on workers',
                ),
              ),
          ),
        ...ofKind(rendered, 'RoleBinding', 'ClusterRoleBinding')
          .filter((binding) => JSON.stringify(field(binding, 'subjects') ?? []).includes('"codex-pool"'))
          .map((binding) => `${nameOf(binding)}: it binds a role to codex-pool; workers have none`),
      ],
    },
    {
      name: 'no-rights-in-the-cluster',
      check: (rendered) => [
        ...ofKind(rendered, 'ClusterRole', 'ClusterRoleBinding').map(
          (object) => `${nameOf(object)}: nothing of ours has rights in the whole cluster`,
        ),
        ...ofKind(rendered, 'RoleBinding').flatMap((binding) =>
          listAt(binding, 'subjects')
            .filter((subject) => named(rendered, 'ServiceAccount', textAt(subject, 'name') ?? '') !== null)
            .map((subject) =>
              problem(binding, 'subjects', subject, 'none of our accounts: no role calls the Kubernetes API'),
            ),
        ),
      ],
    },
    {
      name: 'roles-are-narrow',
      check: (rendered) =>
        ofKind(rendered, 'Role').flatMap((role) =>
          listAt(role, 'rules')
            .filter((rule) => {
              const verbs = listAt(rule, 'verbs');
              const isReading =
                verbs.length > 0 && verbs.every((verb) => ['get', 'list', 'watch'].includes(String(verb)));
              return (
                !isReading || listAt(rule, 'resources').includes('*') || listAt(rule, 'resourceNames').length === 0
              );
            })
            .map((rule) => problem(role, 'rules', rule, 'get, list, watch of objects that are named')),
        ),
    },
    {
      name: 'worker-stores-by-the-door',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object }, config, startedWith: { env } }) => {
          const given: unknown = field(config, 'cluster', 'storesUrl');
          const urls = Array.isArray(given) ? given : [given];
          return [
            ...(urls.some((url) => typeof url === 'string')
              ? []
              : [problem(object, 'setting cluster.stores_url', given, 'the store door of the session managers')]),
            ...(env['GOOGLE_APPLICATION_CREDENTIALS'] === undefined
              ? []
              : [
                  problem(
                    object,
                    'environment',
                    'GOOGLE_APPLICATION_CREDENTIALS',
                    'no credentials of Google in a worker',
                  ),
                ]),
          ];
        }),
    },
    {
      name: 'worker-settings-not-its-own',
      check: (rendered) =>
        configured(rendered, 'worker')
          .filter(({ loaded }) => loaded?.file === null)
          .map(({ workload: { object } }) =>
            problem(
              object,
              'environment: CODEX_FLEET_CONFIG',
              undefined,
              'a mounted file: config.toml of the data directory outlives a tenant, and an agent without a cage can write it',
            ),
          ),
    },
    {
      name: 'worker-secrets',
      check: (rendered) =>
        workloads(rendered)
          .filter(({ component }) => component === 'worker')
          .flatMap((workload) => {
            const text = JSON.stringify([
              workload.pod.volumes ?? [],
              allContainers(workload).map(({ env, envFrom }) => [env, envFrom]),
            ]);
            return ['codex-tokens', 'codex-model-key']
              .filter((name) => text.includes(`"${name}"`))
              .map((name) =>
                problem(workload.object, 'secrets', name, 'a worker gets codex-cluster and codex-redis alone'),
              );
          }),
    },
    {
      name: 'no-service-links',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, pod }) =>
          pod.enableServiceLinks === false
            ? []
            : [
                problem(
                  object,
                  'enableServiceLinks',
                  pod.enableServiceLinks,
                  'only false: agents need not know of all services',
                ),
              ],
        ),
    },
    {
      name: 'no-secret-in-config',
      check: (rendered) =>
        ofKind(rendered, 'ConfigMap').flatMap((config) =>
          Object.entries(contentOf(config))
            .filter(
              ([key, text]) =>
                (secretKeys.test(key) && text !== '') || secretTexts.some((pattern) => pattern.test(text)),
            )
            .map(([key]) => problem(config, key, '(hidden)', 'what is secret comes from a Secret')),
        ),
    },
    {
      name: 'no-secret-in-manifests',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) =>
          allContainers(workload).flatMap(({ env, name }) =>
            (env ?? [])
              .filter(
                ({ name: key, value = '' }) =>
                  value !== '' && (secretKeys.test(key) || secretTexts.some((pattern) => pattern.test(value))),
              )
              .map(({ name: key }) =>
                problem(workload.object, `container ${name}: ${key}`, '(hidden)', 'valueFrom.secretKeyRef'),
              ),
          ),
        ),
    },
    {
      name: 'no-secret-in-git',
      check: (rendered) =>
        rendered.isCloud
          ? ofKind(rendered, 'Secret')
              .filter((secret) => Object.keys(contentOf(secret)).length > 0)
              .map((secret) =>
                problem(
                  secret,
                  'data',
                  Object.keys(contentOf(secret)),
                  'none: the bootstrap makes Secrets from Secret Manager',
                ),
              )
          : [],
    },
    {
      name: 'key-by-provider',
      check: (rendered) => {
        const provider = named(rendered, 'SecretProviderClass', 'codex-model-key');
        const drivers = workloads(rendered).flatMap(({ object, pod }) =>
          (pod.volumes ?? []).flatMap(({ csi, name }) =>
            csi === undefined || (csi.driver === 'secrets-store-gke.csi.k8s.io' && csi.readOnly === true)
              ? []
              : [problem(object, `volume ${name}: csi`, csi, 'driver secrets-store-gke.csi.k8s.io, readOnly: true')],
          ),
        );
        const kind = provider === null ? null : field(provider, 'spec', 'provider');
        return provider === null || kind === 'gke'
          ? drivers
          : [problem(provider, 'spec.provider', kind, 'gke, as the add-on of Secret Manager calls it'), ...drivers];
      },
    },
    {
      name: 'provided-secrets',
      check: (rendered) =>
        ofKind(rendered, 'SecretProviderClass').flatMap((provider) => {
          const text = textAt(provider, 'spec', 'parameters', 'secrets') ?? '';
          const entries: unknown = parseDocument(text).toJS();
          if (!Array.isArray(entries) || entries.length === 0) {
            return [problem(provider, 'parameters.secrets', text, 'a list in YAML, of resourceName and path')];
          }
          return entries
            .filter(
              (entry) =>
                !/^projects\/[^/]+\/secrets\/[^/]+\/versions\/[^/]+$/.test(textAt(entry, 'resourceName') ?? '') ||
                !/^[^/]+$/.test(textAt(entry, 'path') ?? textAt(entry, 'fileName') ?? ''),
            )
            .map((entry) =>
              problem(
                provider,
                'parameters.secrets',
                entry,
                'resourceName projects/P/secrets/S/versions/V, and a path',
              ),
            );
        }),
    },
  ],
};
