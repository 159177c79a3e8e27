// How what runs in a cluster compares with an overlay: each workload, whether all its pods are there, ready, and
// of the images that the overlay names.

import type { Kubectl } from './kubectl.ts';
import { type Manifest, workloadKinds, workloadSpec } from './manifest.ts';

export type WorkloadStatus = {
  readonly name: string;
  readonly kind: string;
  /** As the cluster has it: an autoscaler may have changed it. null: it is not there. */
  readonly wanted: number | null;
  readonly ready: number;
  /** Pods of the wanted revision. */
  readonly updated: number;
  /** Why it is not as it should be; null when it is. */
  readonly problem: string | null;
};

export class ClusterUnreachable extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ClusterUnreachable';
  }
}

export type FleetStatusOptions = {
  readonly kubectl: Kubectl;
  readonly manifests: readonly Manifest[];
  /** Of kubectl; null: the current one. */
  readonly context: string | null;
};

/** Rejects with ClusterUnreachable when the cluster does not answer, or not to us. */
export async function fleetStatus({ context, kubectl, manifests }: FleetStatusOptions): Promise<WorkloadStatus[]> {
  const workloads = manifests.filter(({ kind }) => workloadKinds.includes(kind));
  const namespaces = new Set(workloads.map(({ metadata }) => metadata.namespace ?? 'default'));
  const live: LiveWorkload[] = [];
  for (const namespace of namespaces) live.push(...(await liveWorkloads(kubectl, namespace, context)));
  return workloads.map((workload) => {
    const { kind, metadata } = workload;
    const found = live.find(
      (each) =>
        each.kind === kind &&
        each.metadata.name === metadata.name &&
        each.metadata.namespace === (metadata.namespace ?? 'default'),
    );
    if (found === undefined) {
      return { name: metadata.name, kind, wanted: null, ready: 0, updated: 0, problem: 'it is not in the cluster' };
    }
    const { readyReplicas: ready = 0, updatedReplicas: updated = 0 } = found.status ?? {};
    const wanted = found.spec?.replicas ?? 1;
    return { name: metadata.name, kind, wanted, ready, updated, problem: problemOf(workload, found) };
  });
}

type LiveWorkload = Manifest & {
  readonly metadata: { readonly generation?: number };
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly readyReplicas?: number;
    readonly updatedReplicas?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
};

async function liveWorkloads(kubectl: Kubectl, namespace: string, context: string | null): Promise<LiveWorkload[]> {
  const inContext = context === null ? [] : ['--context', context];
  const args = ['get', 'deployments.apps,statefulsets.apps', '--namespace', namespace, '--output', 'json'];
  const { code, stderr, stdout } = await kubectl([...inContext, ...args, '--request-timeout', '20s']);
  if (code !== 0) throw new ClusterUnreachable(`kubectl could not ask the cluster: ${stderr.trim()}`);
  return (JSON.parse(stdout) as { items: LiveWorkload[] }).items;
}

function problemOf(desired: Manifest, live: LiveWorkload): string | null {
  const wrongImages = imagesOf(desired).filter(([container, image]) => {
    const runs = imagesOf(live).find(([name]) => name === container)?.[1];
    return image !== runs;
  });
  if (wrongImages.length > 0) {
    return `the overlay has other images: ${wrongImages.map(([name, image]) => `${name} ${image}`).join(', ')}`;
  }
  const { generation = 0 } = live.metadata;
  const { conditions = [], observedGeneration = 0, readyReplicas = 0, updatedReplicas = 0 } = live.status ?? {};
  if (observedGeneration < generation) return 'its last change has not been taken up';
  const wanted = live.spec?.replicas ?? 1;
  const failed = conditions.find(
    ({ status, type }) =>
      (type === 'ReplicaFailure' && status === 'True') || (type === 'Progressing' && status === 'False'),
  );
  if (failed !== undefined) return failed.message ?? failed.type;
  if (updatedReplicas < wanted) return `${wanted - updatedReplicas} pods are of an earlier revision`;
  if (readyReplicas < wanted) return `${wanted - readyReplicas} pods are not ready`;
  return null;
}

function imagesOf(workload: Manifest): (readonly [container: string, image: string])[] {
  const containers = workloadSpec(workload).template?.spec?.containers ?? [];
  return containers.map(({ image = '', name }) => [name, image] as const);
}
