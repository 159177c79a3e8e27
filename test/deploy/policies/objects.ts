// Rendered objects as the policies see them: what runs pods, with its containers, and how an object is named
// in a message. Knows the shape of Kubernetes objects, no rule.

import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';

export type Labels = Readonly<Record<string, string>>;

/** As it was rendered; what a kind has beside this is read with `field`. */
export type KubeObject = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Labels;
    readonly annotations?: Labels;
  };
  readonly [field: string]: unknown;
};

export type Rendered = {
  /** `gke-prod`. */
  readonly name: string;
  /** Whether it is for Google Kubernetes Engine. */
  readonly isCloud: boolean;
  /** Groups of kinds that its cluster has beside what every Kubernetes serves. */
  readonly addOns: readonly string[];
  readonly objects: readonly KubeObject[];
};

export type Workload = {
  readonly object: KubeObject;
  readonly name: string;
  /** `app.kubernetes.io/component` of its pods. */
  readonly component: string;
  readonly podLabels: Labels;
  readonly podAnnotations: Labels;
  readonly pod: IPodSpec;
  readonly replicas: number;
};

const workloadKinds = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job', 'CronJob', 'ReplicaSet', 'Pod'];
export const componentLabel = 'app.kubernetes.io/component';

/** The value at a path of keys and indexes; undefined where it ends early. */
export function field(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Readonly<Record<string | number, unknown>>)[step];
  }
  return at;
}

export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = field(value, ...path);
  return Array.isArray(found) ? found : [];
}

export function textAt(value: unknown, ...path: readonly (string | number)[]): string | null {
  const found = field(value, ...path);
  return typeof found === 'string' ? found : null;
}

export function numberAt(value: unknown, ...path: readonly (string | number)[]): number | null {
  const found = field(value, ...path);
  return typeof found === 'number' ? found : null;
}

export function labelsAt(value: unknown, ...path: readonly (string | number)[]): Labels {
  const found = field(value, ...path);
  return typeof found === 'object' && found !== null ? (found as Labels) : {};
}

export function ofKind(rendered: Rendered, ...kinds: readonly string[]): KubeObject[] {
  return rendered.objects.filter(({ kind }) => kinds.includes(kind));
}

export function named(rendered: Rendered, kind: string, name: string): KubeObject | null {
  return rendered.objects.find((object) => object.kind === kind && object.metadata.name === name) ?? null;
}

export function workloads(rendered: Rendered): Workload[] {
  return ofKind(rendered, ...workloadKinds).map((object) => {
    const template = object.kind === 'CronJob' ? field(object, 'spec', 'jobTemplate', 'spec', 'template') : null;
    const podObject = object.kind === 'Pod' ? object : (template ?? field(object, 'spec', 'template'));
    const podLabels = labelsAt(podObject, 'metadata', 'labels');
    return {
      object,
      name: object.metadata.name,
      component: podLabels[componentLabel] ?? '',
      podLabels,
      podAnnotations: labelsAt(podObject, 'metadata', 'annotations'),
      pod: (field(podObject, 'spec') ?? { containers: [] }) as IPodSpec,
      replicas: numberAt(object, 'spec', 'replicas') ?? 1,
    };
  });
}

/** Workloads that somebody waits for: not jobs, and not what only keeps room for others. */
export function serving(rendered: Rendered): Workload[] {
  return workloads(rendered).filter(
    ({ component, object }) => component !== 'balloon' && !['Job', 'CronJob'].includes(object.kind),
  );
}

/** Init containers too: they run in the same pod, under the same rules. */
export function allContainers(workload: Workload): IContainer[] {
  return [...(workload.pod.initContainers ?? []), ...(workload.pod.containers ?? [])];
}

/** `Deployment codex/codex-gateway`. */
export function nameOf(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return `${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

/** A problem in words: which object, which field, what it says, what would be accepted. */
export function problem(object: KubeObject, at: string, value: unknown, allowed: string): string {
  const shown = value === undefined || value === null ? 'is not set' : `is ${JSON.stringify(value)}`;
  return `${nameOf(object)}: ${at} ${shown}; ${allowed}`;
}

/** What kustomize calls `codex-config` it renders as `codex-config-<hash of its content>`. */
export function isNamed(object: KubeObject, name: string): boolean {
  const rendered = object.metadata.name;
  return (
    rendered === name || (rendered.startsWith(`${name}-`) && /^[a-z0-9]{10}$/.test(rendered.slice(name.length + 1)))
  );
}
