// The import table of ARCHITECTURE.md, said a second time and held against the settings that enforce
// it: every import that it forbids is planted and must be refused, every other must pass.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { StubTree } from './stub-tree.ts';

const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  contracts: ['core'],
  protocol: ['core'],
  api: ['core'],
  config: ['core'],
  observability: ['core'],
  codex: ['core', 'protocol', 'observability'],
  workspace: ['core', 'observability'],
  snapshot: ['core', 'contracts', 'workspace', 'observability'],
  worker: ['core', 'contracts', 'protocol', 'codex', 'workspace', 'snapshot', 'api', 'http', 'observability'],
  manager: ['core', 'contracts', 'api', 'http', 'observability', 'snapshot'],
  gateway: ['core', 'contracts', 'protocol', 'api', 'http', 'observability'],
  'model-proxy': ['core', 'contracts', 'http', 'observability'],
  http: ['core', 'api', 'observability'],
  adapters: ['core', 'contracts', 'api', 'observability'],
  app: [
    ...['core', 'contracts', 'protocol', 'api', 'config', 'observability'],
    ...['codex', 'workspace', 'snapshot', 'worker', 'manager', 'gateway', 'model-proxy', 'http', 'adapters'],
  ],
  deploy: ['core'],
  cli: ['app', 'config', 'api', 'core', 'deploy'],
};

const tree = new StubTree();
after(() => tree.remove());

test('the table speaks of every folder that has a project', () => {
  assert.deepEqual(tree.folders, Object.keys(mayImport).sort());
});

test('each folder may import what the table lists for it', async () => {
  for (const [folder, others] of Object.entries(mayImport)) {
    for (const other of others) {
      tree.write(`src/${folder}/uses-${other}.ts`, `export { stub, type Stub } from '../${other}/stub.ts';\n`);
    }
  }
  for (const folder of tree.folders) assert.deepEqual(await tree.build(folder), []);
});

test('no folder may import anything else: not a value, not a type, not dynamically, not what is for tests', async () => {
  const styles = {
    value: (other: string) => `import { stub } from '../${other}/stub.ts';\nexport const used = stub;\n`,
    type: (other: string) => `import type { Stub } from '../${other}/stub.ts';\nexport type Used = Stub;\n`,
    dynamic: (other: string) => `export const used = (): Promise<unknown> => import('../${other}/stub.ts');\n`,
  };
  // References are transitive: what a folder sees only through another, the linter refuses.
  const passedTheCompiler: [file: string, text: string][] = [];
  for (const folder of tree.folders) {
    const others = [...tree.folders, 'testing'].filter((other) => other !== folder);
    const forbidden = others.filter((other) => mayImport[folder]?.includes(other) !== true);
    const plants = forbidden.flatMap((other) =>
      Object.entries(styles).map(([style, textFor]): [string, string] => [
        `src/${folder}/plants-${style}-of-${other}.ts`,
        textFor(other),
      ]),
    );
    for (const [file, text] of plants) tree.write(file, text);
    const errors = await tree.build(folder);
    for (const [file] of plants) tree.delete(file);
    passedTheCompiler.push(...plants.filter(([file]) => !errors.some((line) => line.includes(file))));
  }
  for (const [file, text] of passedTheCompiler) tree.write(file, text);
  const refused = new Set((await tree.lint()).map((finding) => `src/${finding.file}`));
  for (const [file] of passedTheCompiler) tree.delete(file);
  assert.deepEqual(
    passedTheCompiler.map(([file]) => file).filter((file) => !refused.has(file)),
    [],
  );
  assert.deepEqual(tree.strayOutputs(), []);
});

test('the pure folders know nothing of Node', async () => {
  for (const folder of ['core', 'contracts', 'protocol', 'api']) {
    const file = `src/${folder}/plants-node.ts`;
    tree.write(file, "import { readFileSync } from 'node:fs';\nexport const used = readFileSync;\n");
    const errors = await tree.build(folder);
    tree.delete(file);
    assert.match(errors.join('\n'), /plants-node\.ts.*TS2591/);
  }
});

test('the linter refuses what references cannot see, and nothing besides', async () => {
  const stub = 'export async function wait(): Promise<void> {}\n';
  const packageImport = (name: string): string =>
    `import * as used from '${name}';\nexport const all: unknown = used;\n`;
  const plants: Readonly<Record<string, readonly [rule: string, text: string]>> = {
    'core/plants-zod.ts': ['eslint(no-restricted-imports)', packageImport('zod')],
    'gateway/plants-logger.ts': ['eslint(no-restricted-imports)', packageImport('pino')],
    'gateway/plants-metrics.ts': ['eslint(no-restricted-imports)', packageImport('prom-client')],
    'worker/plants-sockets.ts': ['eslint(no-restricted-imports)', packageImport('ws')],
    'codex/plants-server.ts': ['eslint(no-restricted-imports)', packageImport('fastify')],
    'app/plants-commands.ts': ['eslint(no-restricted-imports)', packageImport('commander')],
    'app/plants-lazily.ts': [
      'eslint(no-restricted-imports)',
      "export const used = (): Promise<unknown> => import('pino');\n",
    ],
    'adapters/redis/plants-neighbour.ts': [
      'eslint(no-restricted-imports)',
      "import { stub } from '../memory/stub.ts';\nexport const used = stub;\n",
    ],
    'worker/plants-environment.ts': ['node(no-process-env)', "export const used = process.env['HOME'];\n"],
    'worker/plants-console.ts': ['eslint(no-console)', "console.log('x');\nexport const used = 1;\n"],
    'worker/plants-default.ts': ['import(no-default-export)', 'export default 1;\n'],
    'worker/plants-barrel.ts': ['oxc(no-barrel-file)', "export * from './stub.ts';\n"],
    'worker/plantsCamelCase.ts': ['unicorn(filename-case)', 'export const used = 1;\n'],
    'worker/plants-floating.ts': [
      'typescript(no-floating-promises)',
      "import { wait } from './wait.ts';\nexport function used(): void {\n  wait();\n}\n",
    ],
    'worker/plants-async-callback.ts': [
      'typescript(no-misused-promises)',
      "import { wait } from './wait.ts';\nexport const used = setTimeout(async () => {\n  await wait();\n}, 1);\n",
    ],
  };
  for (const [file, [, text]] of Object.entries(plants)) tree.write(`src/${file}`, text);
  const control: Readonly<Record<string, string>> = {
    'adapters/memory/stub.ts': 'export const stub = 1;\n',
    'worker/wait.ts': stub,
    'worker/waits.ts':
      "import { wait } from './wait.ts';\nexport async function waits(): Promise<void> {\n  await wait();\n}\n",
    'gateway/uses-sockets.ts': packageImport('ws'),
    'observability/uses-logger.ts': packageImport('pino'),
    'config/reads-environment.ts': "export const used = process.env['HOME'];\n",
    'cli/prints.ts': "console.log('x');\nexport const used = 1;\n",
    'worker/reads-files.ts': packageImport('node:fs/promises'),
  };
  for (const [file, text] of Object.entries(control)) tree.write(`src/${file}`, text);

  const findings = (await tree.lint()).map(({ file, rule }) => `${file} ${rule}`);
  const expected = Object.entries(plants).map(([file, [rule]]) => `${file} ${rule}`);
  assert.deepEqual(findings.sort(), expected.sort());
});

test('every dependency has a place: a folder that may use it', () => {
  const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Readonly<Record<string, string>> };
  const lintSettings = read('.oxlintrc.json');
  // Started as a program, never imported.
  const programs = ['@openai/codex'];
  const unplaced = Object.keys(dependencies).filter(
    (name) => !programs.includes(name) && !lintSettings.includes(`"!${name}"`),
  );
  assert.deepEqual(unplaced, []);
});
