// That strict types are alive: an unknown field, a wrong type, a value that is not on the list and a kind that
// nobody knows are each refused, and named by object and field. The examples are in refused/types.yaml.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { KubeObject, Rendered } from './policies/objects.ts';
import { changed, readExamples } from './refuse.ts';
import { isKubectlInstalled, missingKubectl, renderOverlay } from './render.ts';
import { typeOf, typeProblems } from './strict-types.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;
const examples = readExamples().filter(({ policy }) => policy === 'types');

function object(apiVersion: string, kind: string, rest: object = {}): KubeObject {
  return { apiVersion, kind, metadata: { name: 'one', namespace: 'codex' }, ...rest };
}

function rendering(...objects: readonly KubeObject[]): Rendered {
  return { name: 'one', isCloud: true, addOns: [], objects };
}

describe('what strict types refuse', { skip }, () => {
  const found = new Map<number, readonly string[]>();

  before(async () => {
    const prod = await renderOverlay('gke-prod');
    const before_ = new Set(prod.objects.map((each) => JSON.stringify(each)));
    // Only what was changed: the rest is compiled by manifests.test.ts.
    const spoilt = examples.map(({ change }) => {
      const after = changed(prod, change);
      return { ...after, objects: after.objects.filter((each) => !before_.has(JSON.stringify(each))) };
    });
    const problems = await typeProblems(spoilt);
    spoilt.forEach((each, index) => found.set(index, problems.get(each) ?? []));
  });

  examples.forEach(({ rule, says }, index) => {
    test(rule, () => {
      const problems = found.get(index) ?? [];
      assert.ok(
        problems.length > 0 && problems.every((words) => words.includes(says)),
        `it should say ${JSON.stringify(says)}; it said: ${problems.join('\n') || 'nothing'}`,
      );
    });
  });
});

test('a problem names the object and the field, and objects without one have none', async () => {
  const good = rendering(object('v1', 'ConfigMap', { data: { A: 'b' } }));
  const bad = rendering(object('v1', 'ConfigMap', { data: { A: 1 } }));
  const problems = await typeProblems([good, bad]);
  assert.deepEqual(problems.get(good), []);
  assert.deepEqual(problems.get(bad), [
    "ConfigMap codex/one: data.A: TS2322: Type 'number' is not assignable to type 'string'.",
  ]);
});

test('a number out of its range is refused, which types alone cannot see', async () => {
  const policy = (timeoutSec: number): Rendered =>
    rendering(
      object('networking.gke.io/v1', 'GCPBackendPolicy', {
        spec: { default: { timeoutSec }, targetRef: { group: '', kind: 'Service', name: 'a' } },
      }),
    );
  const [good, bad] = [policy(600), policy(0)];
  const problems = await typeProblems([good, bad]);
  assert.deepEqual(problems.get(good), []);
  assert.match(problems.get(bad)?.[0] ?? '', /GCPBackendPolicy codex\/one: .*timeoutSec/);
});

test('types come from the packages, from deploy/schemas for what they lack, and from nowhere else', () => {
  assert.equal(typeOf(object('apps/v1', 'Deployment'))?.module, 'kubernetes-models/apps/v1/Deployment');
  assert.match(typeOf(object('monitoring.googleapis.com/v1', 'Rules'))?.module ?? '', /deploy\/schemas\/rules\.ts$/);
  assert.equal(typeOf(object('apps/v2', 'Deployment')), null);
});
