// What keeps a worker's agents apart, as workers and started turns tell it.

import * as z from 'zod';

export const isolationSchema = z.object({
  cage: z.enum(['own-root', 'none']),
  cage_problem: z.string().nullable(),
  inner_sandbox: z.enum(['bubblewrap', 'none']),
  inner_sandbox_problem: z.string().nullable(),
});

type Isolation = {
  readonly cage: 'own-root' | 'none';
  readonly cageProblem: string | null;
  readonly innerSandbox: 'bubblewrap' | 'none';
  readonly innerSandboxProblem: string | null;
};

export function toIsolation(isolation: Isolation): z.output<typeof isolationSchema> {
  return {
    cage: isolation.cage,
    cage_problem: isolation.cageProblem,
    inner_sandbox: isolation.innerSandbox,
    inner_sandbox_problem: isolation.innerSandboxProblem,
  };
}
