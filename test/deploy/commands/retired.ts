// Products and ways that Google has ended, or that do not fit what is shipped here, with the date and what to do.

export type Retired = {
  readonly what: string;
  readonly pattern: RegExp;
  readonly since: string;
  readonly instead: string;
};

export const retired: readonly Retired[] = [
  {
    what: 'Container Registry',
    // Cloud Build's own builders keep their old addresses; Artifact Registry serves them.
    pattern:
      /(?<![\w.-])(?:[a-z]+\.)?gcr\.io\/(?!cloud-builders\/|google\.com\/cloudsdktool\/)|containerregistry\.googleapis\.com|gcloud container images\b/,
    since: '2025-03-18',
    instead: 'Artifact Registry: REGION-docker.pkg.dev',
  },
  {
    what: 'Cloud Source Repositories',
    pattern: /sourcerepo\.googleapis\.com|gcloud source repos\b/,
    since: '2024-06-17, closed to new customers',
    instead: 'any Git host, or Secure Source Manager',
  },
  {
    what: 'the ManagedCertificate of GKE Ingress',
    pattern: /^kind: ManagedCertificate\b|networking\.gke\.io\/managed-certificates/m,
    since: 'not usable with the Gateway API',
    instead: 'a certificate map of Certificate Manager',
  },
  {
    what: 'the annotation that chooses an Ingress',
    pattern: /^\s*kubernetes\.io\/ingress\.class:/m,
    since: 'Kubernetes 1.18, deprecated',
    instead: 'Gateway API, or spec.ingressClassName',
  },
  { what: 'gsutil', pattern: /^gsutil\b/, since: 'superseded', instead: 'gcloud storage' },
  {
    what: 'Deployment Manager',
    pattern: /gcloud deployment-manager\b|deploymentmanager\.googleapis\.com/,
    since: '2026-03-31',
    instead: 'the script of this folder, or Infrastructure Manager',
  },
  {
    what: 'authentication by a key file of a service account',
    pattern: /gcloud iam service-accounts keys create\b/,
    since: 'never wanted here',
    instead: 'direct principal:// bindings',
  },
  {
    what: 'the policy of pods by PodSecurityPolicy',
    pattern: /^kind: PodSecurityPolicy\b/m,
    since: 'Kubernetes 1.25, removed',
    instead: 'Pod Security admission: labels of the namespace',
  },
];
