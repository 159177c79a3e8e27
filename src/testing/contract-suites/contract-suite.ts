// A contract's suite is a list of checks, each on a subject of its own. An adapter's test runs them as
// tests; the suite's own test runs them against adapters that are broken on purpose.

import { describe, test } from 'node:test';

/** An adapter, freshly made and empty, with what a test needs around it. */
export type Subject<T> = { readonly adapter: T; close(): Promise<void> };

export type ContractCheck<T> = {
  readonly title: string;
  run(adapter: T): Promise<void>;
};

export function describeContract<T>(
  name: string,
  checks: readonly ContractCheck<T>[],
  open: () => Promise<Subject<T>>,
): void {
  describe(name, () => {
    for (const check of checks) {
      test(check.title, () => runCheck(check, open));
    }
  });
}

/** The titles of the checks that the adapter fails. */
export async function failedChecks<T>(
  checks: readonly ContractCheck<T>[],
  open: () => Promise<Subject<T>>,
): Promise<string[]> {
  const failed: string[] = [];
  for (const check of checks) {
    try {
      await runCheck(check, open);
    } catch {
      failed.push(check.title);
    }
  }
  return failed;
}

async function runCheck<T>(check: ContractCheck<T>, open: () => Promise<Subject<T>>): Promise<void> {
  const subject = await open();
  try {
    await check.run(subject.adapter);
  } finally {
    await subject.close();
  }
}
