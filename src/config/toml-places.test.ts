import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import { tomlPlaces } from './toml-places.ts';

const places = (text: string): Record<string, string> =>
  Object.fromEntries([...tomlPlaces(text)].map(([key, { line, column }]) => [key, `${line}:${column}`]));

test('each key has the place where it was written, in tables, dotted, quoted and inline', () => {
  const text = `# settings
data_dir = "/x" # [not.a.table]
server.host = 'a = b'

[server]
  port = 1
"heartbeat_ms" = 20_000
[ cage ]
read_only_paths = [ # a list
  "one, two]", "three",
]
allow_none = true
[model]
note = """
[server]
port = 2
\\""" still inside"""
name = "m"
log = { level = "info", format = { deep = 1 } }
[[tokens]]
name = "a"
[[tokens]]
name = "b"
`;
  const found = places(text);
  assert.deepEqual(
    Object.fromEntries(
      ['data_dir', 'server.host', 'server', 'server.port', 'server.heartbeat_ms', 'cage'].map((key) => [
        key,
        found[key],
      ]),
    ),
    {
      data_dir: '2:1',
      'server.host': '3:1',
      server: '3:1',
      'server.port': '6:3',
      'server.heartbeat_ms': '7:1',
      cage: '8:3',
    },
  );
  assert.equal(found['cage.allow_none'], '12:1');
  assert.equal(found['model.name'], '18:1');
  assert.equal(found['model.log.format.deep'], '19:36');
  assert.equal(found['tokens'], '20:3');
  assert.equal(found['tokens.name'], '21:1');
});

test('Windows line ends and a tab count as people see them', () => {
  assert.deepEqual(places('a = 1\r\n\tb = 2\r\n'), { a: '1:1', b: '2:2' });
});

test('a document without keys has no places', () => {
  assert.deepEqual(places(''), {});
  assert.deepEqual(places('# only words'), {});
});

test('whatever text comes, it ends; and of what parses, no key is without a place', () => {
  const piece = fc.constantFrom(
    'a',
    '"b"',
    '.',
    ' = ',
    '1',
    '"x"',
    "'''",
    '"""',
    '[',
    ']',
    '{',
    '}',
    ',',
    '#',
    '\n',
    '\\',
    'é',
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join('')),
      (text) => {
        const found = tomlPlaces(text);
        let parsed: Record<string, unknown>;
        try {
          parsed = parse(text);
        } catch {
          return;
        }
        for (const key of Object.keys(parsed)) assert.ok(found.has(key), `${key} in ${JSON.stringify(text)}`);
      },
    ),
    { numRuns: 2000 },
  );
});
