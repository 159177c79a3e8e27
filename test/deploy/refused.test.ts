// That the policies are alive: for each rule there is a change to a good overlay that it refuses, in the words
// that are expected. The files in refused/ are the examples, one for each policy.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { policies } from './policies/all.ts';
import type { Rendered } from './policies/objects.ts';
import { changed, type Example, readExamples } from './refuse.ts';
import { combinationNames, isKubectlInstalled, missingKubectl, overlayNames } from './render.ts';
import { renderCombination, renderOverlay } from './render.ts';
import { typeProblems } from './strict-types.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;
const examples = readExamples();
const ofTypes = examples.filter(({ policy }) => policy === 'types');
const ofPolicies = examples.filter(({ policy }) => policy !== 'types');

test('every rule of every policy has an example that it must refuse', () => {
  const known = policies.flatMap(({ name, rules }) => rules.map((rule) => `${name}/${rule.name}`));
  const shown = new Set(ofPolicies.map(({ policy, rule }) => `${policy}/${rule}`));
  assert.deepEqual(
    { without: known.filter((rule) => !shown.has(rule)), unknown: [...shown].filter((rule) => !known.includes(rule)) },
    { without: [], unknown: [] },
  );
});

describe('what the policies refuse', { skip }, () => {
  const renderings = new Map<string, Rendered>();
  const rendered = ({ on }: Example): Rendered => renderings.get(on) ?? assert.fail(`${on} is an overlay`);

  before(async () => {
    const all = [...overlayNames().map(renderOverlay), ...combinationNames().map(renderCombination)];
    for (const each of await Promise.all(all)) renderings.set(each.name, each);
  });

  for (const example of ofPolicies) {
    test(`${example.policy}/${example.rule}: ${example.says}`, () => {
      const rule = policies
        .find(({ name }) => name === example.policy)
        ?.rules.find(({ name }) => name === example.rule);
      assert.ok(rule);
      const already = new Set(rule.check(rendered(example)));
      const found = rule.check(changed(rendered(example), example.change)).filter((words) => !already.has(words));
      assert.ok(
        found.some((words) => words.includes(example.says)),
        `it should say ${JSON.stringify(example.says)}; it said: ${found.join('\n') || 'nothing'}`,
      );
    });
  }

  test('what the types refuse: unknown fields, wrong types, values that are not on the list, unknown kinds', async () => {
    const broken = ofTypes.map((example) => changed(rendered(example), example.change));
    const problems = await typeProblems([...broken, ...renderings.values()]);
    ofTypes.forEach((example, index) => {
      const made = broken[index] ?? assert.fail('it was changed');
      const already = new Set(problems.get(rendered(example)));
      const found = (problems.get(made) ?? []).filter((words) => !already.has(words));
      assert.ok(
        found.length === 1 && found[0]?.includes(example.says),
        `${example.rule} should say ${JSON.stringify(example.says)}; it said: ${found.join('\n') || 'nothing'}`,
      );
    });
  });
});
