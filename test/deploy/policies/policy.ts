// What a policy is: a group of rules, each a promise about rendered objects and a pure function that names
// what breaks it. Each rule has an example that it refuses in test/deploy/refused.

import type { Rendered } from './objects.ts';

export type Rule = {
  /** Unique in its policy; the refused examples name it. */
  readonly name: string;
  /** Problems in words; none when all is well. */
  readonly check: (rendered: Rendered) => readonly string[];
};

export type Policy = {
  readonly name: string;
  /** The title of its test: what holds of every overlay. */
  readonly promise: string;
  readonly rules: readonly Rule[];
};

export function broken(policy: Policy, rendered: Rendered): string[] {
  return policy.rules.flatMap((rule) => rule.check(rendered).map((words) => `[${policy.name}/${rule.name}] ${words}`));
}
