// Quantities of Kubernetes (`250m`, `1.5Gi`) as numbers, and numbers for people.

import { parseQuantity } from '../../../src/deploy/quantity.ts';

export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;

/** null for what is no quantity. */
export function quantity(value: unknown): number | null {
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  try {
    return parseQuantity(value);
  } catch {
    return null;
  }
}

export function inMiB(bytes: number): string {
  return `${Math.round(bytes / MiB)} MiB`;
}
