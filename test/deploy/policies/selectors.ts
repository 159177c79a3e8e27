// Label selectors, as Kubernetes reads them.

import { labelsAt, listAt, textAt } from './objects.ts';
import type { Labels, Rendered, Workload } from './objects.ts';
import { workloads } from './objects.ts';

/** An empty selector matches everything. */
export function selects(selector: unknown, labels: Labels): boolean {
  const exact = Object.entries(labelsAt(selector, 'matchLabels'));
  if (!exact.every(([key, value]) => labels[key] === value)) return false;
  return listAt(selector, 'matchExpressions').every((expression) => {
    const value = labels[textAt(expression, 'key') ?? ''];
    const values = listAt(expression, 'values');
    switch (textAt(expression, 'operator')) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}

/** A Service's selector is a bare map, and an empty one selects nothing. */
export function selectsByMap(map: Labels, labels: Labels): boolean {
  const entries = Object.entries(map);
  return entries.length > 0 && entries.every(([key, value]) => labels[key] === value);
}

export function selectedWorkloads(rendered: Rendered, selector: unknown): Workload[] {
  return workloads(rendered).filter(({ podLabels }) => selects(selector, podLabels));
}
