// What is read of Kubernetes objects: only that which is asked for here, and nothing is believed of the rest.

import { parseAllDocuments } from 'yaml';

export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, unknown>>;
};

export type Resources = {
  /** Kubernetes quantities: "250m", "1.5", "2Gi". */
  readonly requests?: Readonly<Record<string, string | number>>;
};

export type Container = { readonly name: string; readonly image?: string; readonly resources?: Resources };

export type Volume = { readonly ephemeral?: { readonly volumeClaimTemplate?: { readonly spec?: ClaimSpec } } };

export type PodSpec = { readonly containers?: readonly Container[]; readonly volumes?: readonly Volume[] };

/** A Deployment or a StatefulSet. */
export type WorkloadSpec = {
  readonly replicas?: number;
  readonly template?: { readonly spec?: PodSpec };
  readonly volumeClaimTemplates?: readonly { readonly spec?: ClaimSpec }[];
};

export type ClaimSpec = {
  readonly storageClassName?: string;
  readonly resources?: { readonly requests?: { readonly storage?: string | number } };
};

export const workloadKinds: readonly string[] = ['Deployment', 'StatefulSet'];

/** Of the documents of a YAML text; throws for what is no list of Kubernetes objects. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`this is not YAML: ${error.message}`);
    const value: unknown = document.toJS();
    if (value === null) return [];
    if (!isManifest(value)) throw new Error('a document has no apiVersion, kind or name: it is no Kubernetes object');
    return [value];
  });
}

export function workloadSpec({ spec }: Manifest): WorkloadSpec {
  return (spec ?? {}) as WorkloadSpec;
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== 'object' || value === null) return false;
  const { apiVersion, kind, metadata } = value as Partial<Manifest>;
  return typeof apiVersion === 'string' && typeof kind === 'string' && typeof metadata?.name === 'string';
}
