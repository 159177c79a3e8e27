import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IsolationReport } from '../contracts/worker-link.ts';
import { effectiveSandbox } from './effective-sandbox.ts';

const whole: IsolationReport = {
  cage: 'own-root',
  cageProblem: null,
  innerSandbox: 'bubblewrap',
  innerSandboxProblem: null,
};
const withoutInner: IsolationReport = { ...whole, innerSandbox: 'none', innerSandboxProblem: 'no namespaces' };

test('a session gets the sandbox that it asked for where Codex can make one', () => {
  for (const asked of ['read-only', 'workspace-write', 'danger-full-access'] as const) {
    assert.equal(effectiveSandbox(asked, whole), asked);
  }
});

test('where Codex can make none, writing sessions run without it and reading ones never write', () => {
  assert.equal(effectiveSandbox('workspace-write', withoutInner), 'danger-full-access');
  assert.equal(effectiveSandbox('read-only', withoutInner), 'read-only');
});
