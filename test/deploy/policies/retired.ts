// Versions of APIs that clusters no longer serve, and products that Google has closed or frozen. Read in every
// text of every object, keys and values alike.

import { nameOf } from './objects.ts';
import type { KubeObject } from './objects.ts';
import type { Policy, Rule } from './policy.ts';

type Retired = { readonly what: RegExp; readonly instead: string };

const versions: readonly Retired[] = [
  { what: /^extensions\/v1beta1$/, instead: 'apps/v1, networking.k8s.io/v1' },
  { what: /^apps\/v1beta[12]$/, instead: 'apps/v1' },
  { what: /^policy\/v1beta1$/, instead: 'policy/v1' },
  { what: /^autoscaling\/v2beta[12]$/, instead: 'autoscaling/v2' },
  { what: /^batch\/v1beta1$/, instead: 'batch/v1' },
  { what: /^networking\.k8s\.io\/v1beta1$/, instead: 'networking.k8s.io/v1' },
  { what: /^gateway\.networking\.k8s\.io\/v1(alpha\d|beta\d)$/, instead: 'gateway.networking.k8s.io/v1' },
  { what: /^rbac\.authorization\.k8s\.io\/v1(alpha|beta)1$/, instead: 'rbac.authorization.k8s.io/v1' },
  { what: /^secrets-store\.csi\.x-k8s\.io\/v1alpha1$/, instead: 'secrets-store.csi.x-k8s.io/v1' },
  { what: /^monitoring\.googleapis\.com\/v1alpha1$/, instead: 'monitoring.googleapis.com/v1' },
];

const kinds: Readonly<Record<string, string>> = {
  PodSecurityPolicy: 'pod-security labels of the namespace',
  ManagedCertificate: 'a certificate map of Certificate Manager',
  BackendConfig: 'GCPBackendPolicy and HealthCheckPolicy',
  FrontendConfig: 'GCPGatewayPolicy',
  MultiClusterIngress: 'Gateway',
  Endpoints: 'a Service with a selector',
  ReplicationController: 'Deployment',
};

const texts: readonly Retired[] = [
  {
    what: /(^|[^a-z0-9-])([a-z]+\.)?gcr\.io\//,
    instead: 'Artifact Registry, REGION-docker.pkg.dev: Container Registry was closed',
  },
  { what: /\bk8s\.gcr\.io\b/, instead: 'registry.k8s.io' },
  { what: /\bcontainerregistry\.googleapis\.com\b/, instead: 'artifactregistry.googleapis.com' },
  { what: /\bkubernetes\.io\/ingress\.class\b/, instead: 'a Gateway' },
  { what: /\bkubernetes\.io\/ingress\.global-static-ip-name\b/, instead: 'addresses of the Gateway' },
  { what: /\bnetworking\.gke\.io\/managed-certificates\b/, instead: 'networking.gke.io/certmap' },
  { what: /\bcloud\.google\.com\/backend-config\b/, instead: 'GCPBackendPolicy' },
  { what: /\bseccomp\.security\.alpha\.kubernetes\.io\b/, instead: 'securityContext.seccompProfile' },
  { what: /\bcontainer\.apparmor\.security\.beta\.kubernetes\.io\b/, instead: 'securityContext.appArmorProfile' },
  { what: /\bcloud\.google\.com\/gke-preemptible\b/, instead: 'cloud.google.com/gke-spot' },
  { what: /\bfailure-domain\.beta\.kubernetes\.io\b/, instead: 'topology.kubernetes.io' },
  { what: /\bbeta\.kubernetes\.io\/(arch|os|instance-type)\b/, instead: 'kubernetes.io/arch, kubernetes.io/os' },
  { what: /\bnode-role\.kubernetes\.io\/master\b/, instead: 'node-role.kubernetes.io/control-plane' },
];

/** Every key and every text in an object. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...textsOf(inner)]);
}

function each(name: string, check: (object: KubeObject) => readonly string[]): Rule {
  return { name, check: (rendered) => rendered.objects.flatMap(check) };
}

export const retiredPolicy: Policy = {
  name: 'retired',
  promise: 'nothing uses a version that is no longer served, or a product that is closed',
  rules: [
    each('versions', (object) =>
      versions
        .filter(({ what }) => what.test(object.apiVersion))
        .map(({ instead }) => `${nameOf(object)}: apiVersion is ${object.apiVersion}; instead: ${instead}`),
    ),
    each('kinds', (object) => {
      const instead = kinds[object.kind];
      return instead === undefined ? [] : [`${nameOf(object)}: ${object.kind} is retired; instead: ${instead}`];
    }),
    each('texts', (object) => {
      const all = textsOf(object);
      return texts.flatMap(({ instead, what }) =>
        all
          .filter((text) => what.test(text))
          .map((text) => `${nameOf(object)}: it says ${JSON.stringify(text.slice(0, 120))}; instead: ${instead}`),
      );
    }),
    {
      name: 'ingress',
      check: (rendered) =>
        rendered.isCloud
          ? rendered.objects
              .filter(({ kind }) => kind === 'Ingress')
              .map(
                (object) => `${nameOf(object)}: on GKE its load balancer cuts at 30 s; instead: Gateway and HTTPRoute`,
              )
          : [],
    },
  ],
};

/** The same, for texts that are not rendered: scripts, READMEs' commands. */
export function retiredIn(text: string): string[] {
  return texts.filter(({ what }) => what.test(text)).map(({ instead, what }) => `${String(what)}; instead: ${instead}`);
}
