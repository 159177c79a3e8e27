// Every overlay, rendered: its objects have the types of their kinds, and keep every policy.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { policies } from './policies/all.ts';
import type { Rendered } from './policies/objects.ts';
import { broken } from './policies/policy.ts';
import { scopePolicy } from './policies/scope.ts';
import { combinationNames, isKubectlInstalled, missingKubectl, overlayNames } from './render.ts';
import { renderBase, renderCombination, renderOverlay, unusedComponents } from './render.ts';
import { typeProblems } from './strict-types.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;
const names = [...overlayNames(), ...combinationNames()];

function assertNone(problems: readonly string[]): void {
  // Said once: a comparison would print the list three times.
  assert.ok(problems.length === 0, `${problems.length} problems:\n  ${problems.join('\n  ')}\n`);
}

describe('the manifests', { skip }, () => {
  const renderings = new Map<string, Rendered>();
  let types: ReadonlyMap<Rendered, readonly string[]> = new Map();
  const rendered = (name: string): Rendered => renderings.get(name) ?? assert.fail(`${name} was rendered`);

  before(async () => {
    for (const each of await Promise.all([
      ...overlayNames().map(renderOverlay),
      ...combinationNames().map(renderCombination),
      renderBase(),
    ]))
      renderings.set(each.name, each);
    types = await typeProblems([...renderings.values()]);
  });

  test('there is an overlay for any cluster, and two for Google Kubernetes Engine', () => {
    assert.deepEqual(
      ['gke-dev', 'gke-prod', 'local'].filter((name) => !names.includes(name)),
      [],
    );
  });

  test('every component is in an overlay, or in a combination that is rendered here', () => {
    assert.deepEqual(unusedComponents(), []);
  });

  for (const name of [...names, 'base']) {
    test(`${name}: every object has the type of its kind, without a field that nobody knows`, () => {
      assertNone(types.get(rendered(name)) ?? assert.fail('its types were checked'));
    });
  }

  test('base: no kind of a cloud, nothing outside of its namespace', () => {
    assertNone(broken(scopePolicy, rendered('base')));
  });

  for (const name of names) {
    for (const policy of policies) {
      test(`${name}: ${policy.promise}`, () => {
        assertNone(broken(policy, rendered(name)));
      });
    }
  }
});
