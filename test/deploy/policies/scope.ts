// Where objects belong: in the namespace of the fleet, labelled as its parts; and kinds of a cloud only in
// overlays for that cloud.

import { componentLabel, field, nameOf, ofKind, problem, textAt, workloads } from './objects.ts';
import type { KubeObject } from './objects.ts';
import type { Policy, Rule } from './policy.ts';

const namespaceOfFleet = 'codex';
const clusterScoped = new Set([
  'ClusterPodMonitoring',
  'ClusterRole',
  'ClusterRoleBinding',
  'ClusterRules',
  'ComputeClass',
  'CustomResourceDefinition',
  'GlobalRules',
  'Namespace',
  'PersistentVolume',
  'PriorityClass',
  'RuntimeClass',
  'StorageClass',
]);
const components = ['gateway', 'worker', 'session-manager', 'model-proxy', 'redis', 'balloon'];

/** Groups that every Kubernetes serves. */
const plainGroups = new Set([
  '',
  'apps',
  'autoscaling',
  'batch',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
]);
const cloudTexts =
  /\b(gke\.io|googleapis\.com|google\.internal|docker\.pkg\.dev|cloud\.google\.com|secrets-store-gke|premium-rwo|standard-rwo)\b/;

function groupOf({ apiVersion }: KubeObject): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

function each(name: string, check: (object: KubeObject) => readonly string[]): Rule {
  return { name, check: (rendered) => rendered.objects.flatMap(check) };
}

export const scopePolicy: Policy = {
  name: 'scope',
  promise: 'every object is in its namespace, once, labelled as a part of the fleet; clouds stay in their overlays',
  rules: [
    each('namespace', (object) => {
      const { namespace } = object.metadata;
      if (clusterScoped.has(object.kind)) {
        return namespace === undefined
          ? []
          : [problem(object, 'metadata.namespace', namespace, 'none: it is of the whole cluster')];
      }
      return namespace === namespaceOfFleet
        ? []
        : [problem(object, 'metadata.namespace', namespace, `only ${namespaceOfFleet}`)];
    }),
    {
      name: 'once',
      check: (rendered) => {
        const names = rendered.objects.map(nameOf);
        return names.filter((name, index) => names.indexOf(name) !== index).map((name) => `${name}: rendered twice`);
      },
    },
    {
      name: 'labels',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, podLabels }) => [
          ...(podLabels['app.kubernetes.io/name'] === 'codex-fleet'
            ? []
            : [
                problem(
                  object,
                  'pod label app.kubernetes.io/name',
                  podLabels['app.kubernetes.io/name'],
                  'only codex-fleet',
                ),
              ]),
          ...(components.includes(podLabels[componentLabel] ?? '')
            ? []
            : [
                problem(
                  object,
                  `pod label ${componentLabel}`,
                  podLabels[componentLabel],
                  `one of ${components.join(', ')}`,
                ),
              ]),
        ]),
    },
    {
      name: 'all-roles',
      check: (rendered) => {
        const names = workloads(rendered).map(({ name }) => name);
        return ['codex-gateway', 'codex-pool', 'codex-session-manager', 'codex-model-proxy']
          .filter((name) => !names.includes(name))
          .map((name) => `${rendered.name}: there is no ${name}`);
      },
    },
    {
      name: 'no-cloud-kinds',
      check: (rendered) =>
        rendered.isCloud
          ? []
          : rendered.objects
              .filter((object) => !plainGroups.has(groupOf(object)) && !rendered.addOns.includes(groupOf(object)))
              .map(
                (object) =>
                  `${nameOf(object)}: apiVersion is ${object.apiVersion}; any Kubernetes must serve it: ${[...plainGroups].join(', ')}`,
              ),
    },
    {
      name: 'no-cloud-words',
      check: (rendered) =>
        rendered.isCloud
          ? []
          : rendered.objects.flatMap((object) => {
              const found = cloudTexts.exec(JSON.stringify(object));
              return found === null
                ? []
                : [`${nameOf(object)}: it speaks of ${found[0]}; this overlay is for any cluster`];
            }),
    },
    {
      name: 'no-load-balancer-by-accident',
      check: (rendered) =>
        ofKind(rendered, 'Service')
          .filter((service) => ['LoadBalancer', 'NodePort'].includes(textAt(service, 'spec', 'type') ?? ''))
          .map((service) =>
            problem(service, 'spec.type', field(service, 'spec', 'type'), 'ClusterIP: only the Gateway is public'),
          ),
    },
  ],
};
