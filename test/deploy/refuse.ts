// Changes to a rendering, as the examples in test/deploy/refused write them: what a careless hand might do to
// an overlay that was good. Each example names the rule that must refuse it.

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { isNamed, type KubeObject, type Rendered } from './policies/objects.ts';

type Step = string | number;

/** Where: an object by `Kind/name`, the pod of a workload, or its first container; `at` goes on from there. */
type Place = {
  readonly object?: string;
  readonly pod?: string;
  readonly container?: string;
  readonly at?: readonly Step[];
};

type Change =
  | (Place & { readonly set: unknown })
  | (Place & { readonly push: unknown })
  | (Place & { readonly remove: true })
  | { readonly setting: string; readonly name: string; readonly value: string }
  | { readonly add: KubeObject };

export type Example = {
  readonly policy: string;
  readonly rule: string;
  /** The overlay that is changed. */
  readonly on: string;
  readonly change: readonly Change[];
  /** A part of what the rule says of it. */
  readonly says: string;
};

const refusedDir = path.join(import.meta.dirname, 'refused');

/** One file for each policy, named like it. */
export function readExamples(): Example[] {
  return readdirSync(refusedDir)
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => {
      const entries = parse(readFileSync(path.join(refusedDir, file), 'utf8')) as Omit<Example, 'policy'>[];
      return entries.map((entry) => ({ ...entry, policy: file.slice(0, -'.yaml'.length), on: entry.on ?? 'gke-prod' }));
    });
}

export function changed(rendered: Rendered, changes: readonly Change[]): Rendered {
  const objects = structuredClone(rendered.objects) as KubeObject[];
  for (const change of changes) apply(objects, change);
  return { ...rendered, objects };
}

function apply(objects: KubeObject[], change: Change): void {
  if ('add' in change) {
    objects.push(change.add);
  } else if ('setting' in change) {
    const container = at(objects, { container: change.setting }) as { env?: { name: string }[] };
    const others = (container.env ?? []).filter(({ name }) => name !== change.name);
    container.env = [...others, { name: change.name, value: change.value } as { name: string }];
  } else if ('remove' in change && (change.at ?? []).length === 0) {
    objects.splice(objects.indexOf(at(objects, change) as KubeObject), 1);
  } else {
    const steps = change.at ?? [];
    const last = steps.at(-1) ?? '';
    const parent = at(objects, { ...change, at: steps.slice(0, -1) });
    if ('set' in change) parent[keyIn(parent, last)] = change.set;
    else if ('push' in change) parent[last] = [...((parent[last] as unknown[] | undefined) ?? []), change.push];
    else if (Array.isArray(parent)) parent.splice(Number(keyIn(parent, last)), 1);
    else delete parent[keyIn(parent, last)];
  }
}

type Tree = Record<Step, unknown>;

/** Steps into a list are an index, or the name of an element; what is not there yet is made. */
function at(objects: readonly KubeObject[], place: Place): Tree {
  const workload = place.pod ?? place.container;
  const start =
    workload === undefined
      ? objects.find(
          (object) => place.object === `${object.kind}/${object.metadata.name}` || isHashed(object, place.object),
        )
      : objects.find(
          ({ kind, metadata }) => ['Deployment', 'StatefulSet'].includes(kind) && metadata.name === workload,
        );
  if (start === undefined) throw new Error(`the example changes ${JSON.stringify(place)}, which is not rendered`);
  const prefix =
    place.container !== undefined
      ? ['spec', 'template', 'spec', 'containers', 0]
      : place.pod !== undefined
        ? ['spec', 'template', 'spec']
        : [];
  return [...prefix, ...(place.at ?? [])].reduce<Tree>(
    (tree, step) => (tree[keyIn(tree, step)] ??= {}) as Tree,
    start as unknown as Tree,
  );
}

function keyIn(tree: Tree, step: Step): Step {
  if (!Array.isArray(tree) || typeof step === 'number') return step;
  const index = tree.findIndex((each: unknown) => (each as { name?: string }).name === step);
  if (index < 0) throw new Error(`the example goes to ${step}, which is in no list there`);
  return index;
}

function isHashed(object: KubeObject, named: string | undefined): boolean {
  const [kind, name = ''] = (named ?? '').split('/');
  return object.kind === kind && isNamed(object, name);
}
