import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { requirements } from './requirements.ts';

const root = path.dirname(import.meta.dirname);
const citation = /\[([a-z]+(?:-[a-z]+)+)\]/g;

function citedIds(sources: readonly string[]): Set<string> {
  const ids = sources.flatMap((source) =>
    [...source.matchAll(/\b(?:test|it)\(\s*(['"`])((?:\\.|(?!\1)[\s\S])*)\1/g)].flatMap(([, , title = '']) =>
      [...title.matchAll(citation)].map(([, id = '']) => id),
    ),
  );
  return new Set(ids);
}

test('each requirement is named by a test, and each name is a requirement', () => {
  const files = globSync(['test/**/*.test.ts', 'src/**/*.test.ts'], { cwd: root }).filter(
    (file) => file !== 'test/requirements.test.ts',
  );
  const cited = citedIds(files.map((file) => readFileSync(path.join(root, file), 'utf8')));
  const known = new Set<string>(requirements.map(({ id }) => id));
  assert.equal(known.size, requirements.length, 'ids are unique');
  assert.deepEqual(
    {
      withoutTest: [...known].filter((id) => !cited.has(id)),
      withoutRequirement: [...cited].filter((id) => !known.has(id)),
    },
    { withoutTest: [], withoutRequirement: [] },
  );
});

test('a requirement counts as named in the title of a test only', () => {
  const source = `test('it works [stop-kill]', () => { assert.ok('[not-this]'); }); // [nor-this]`;
  assert.deepEqual([...citedIds([source])], ['stop-kill']);
});
