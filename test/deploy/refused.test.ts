// That the policies are alive: for each rule there is a change to a good overlay that it refuses, in the words
// that are expected. The files in refused/ are the examples, one for each policy.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { policies } from './policies/all.ts';
import type { Rendered } from './policies/objects.ts';
import { changed, type Example, readExamples } from './refuse.ts';
import { combinationNames, isKubectlInstalled, missingKubectl, overlayNames } from './render.ts';
import { renderCombination, renderOverlay } from './render.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;
// Those of types are for strict-types.test.ts.
const examples = readExamples().filter(({ policy }) => policy !== 'types');

test('every rule of every policy has an example that it must refuse', () => {
  const known = policies.flatMap(({ name, rules }) => rules.map((rule) => `${name}/${rule.name}`));
  const shown = new Set(examples.map(({ policy, rule }) => `${policy}/${rule}`));
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

  for (const example of examples) {
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
});
