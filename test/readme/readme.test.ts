// The README is run, and the pages in docs after it: their commands, one after the other in one shell,
// against a fleet and a worker that were started as it says, and what they show is compared with what comes out.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '../../src/config/load.ts';
import { FleetUnderTest, newDirectory, plainEnvironment, repository } from '../e2e/fleet-under-test.ts';
import { examplesOf, patternOf, readBlocks, untrueParts, type Example } from './readme-blocks.ts';

const examples = examplesOf(readBlocks('README.md'));
const pages = globSync('docs/*.md', { cwd: repository }).sort();
const commands = [...examples, ...pages.flatMap((page) => examplesOf(readBlocks(page)))].filter(
  ({ language, kind }) => language === 'bash' && kind === '',
);

/** Stands for the reader's home: the data directories of the README are below it. */
const home = newDirectory();

let fleet: FleetUnderTest | null = null;
let worker: FleetUnderTest | null = null;

type Output = { readonly stdout: string; readonly stderr: string; readonly code: number };
const outputs = new Map<Example, Output>();

before(async () => {
  fleet = await FleetUnderTest.start({ dataDir: path.join(home, '.codex-fleet'), viaNpm: true });
  worker = await startWorker(only('worker').code);
  const dir = path.join(home, 'outputs');
  mkdirSync(dir);
  // In braces, not in a subshell: what one block sets, the next ones see.
  const script = commands.map(({ code }, index) => {
    const to = path.join(dir, String(index));
    return `{\n${addressed(code)}\n} >${to}.out 2>${to}.err\necho $? >${to}.code\n`;
  });
  const env = { ...plainEnvironment(home), npm_config_update_notifier: 'false' };
  await promisify(execFile)('bash', ['-c', script.join('\n')], { cwd: repository, env, timeout: 100_000 });
  for (const [index, example] of commands.entries()) {
    const read = (name: string): string => readFileSync(path.join(dir, `${index}.${name}`), 'utf8');
    outputs.set(example, { stdout: read('out'), stderr: read('err'), code: Number(read('code')) });
  }
});

after(async () => {
  await fleet?.close();
  await worker?.close();
  rmSync(home, { recursive: true, force: true });
});

test('the start says what the README shows', () => {
  assert.match(only('start').code, /\bnpm start$/);
  assert.match(running(fleet).screen, shownBy(only('start')));
  assert.match(running(worker).screen, shownBy(only('worker')));
});

for (const example of commands) {
  test(`${example.file}:${example.line}: ${example.code.split('\n')[0]}`, () => {
    const output = outputs.get(example);
    assert.ok(output !== undefined);
    assert.deepEqual([output.code, output.stderr], [0, '']);
    if (example.shown?.language === 'json') {
      assert.deepEqual(untrueParts(JSON.parse(example.shown.code), JSON.parse(output.stdout)), [], output.stdout);
    } else if (example.shown !== null) {
      assert.match(output.stdout, shownBy(example));
    } else {
      // Where nothing is shown, at least nothing was refused.
      assert.doesNotMatch(output.stdout, /urn:codex-fleet:error/);
    }
  });
}

test('the JavaScript of the README runs in Node and is told how its turn went', async () => {
  const [example] = examples.filter(({ language }) => language === 'javascript');
  assert.ok(example !== undefined);
  const code = `${addressed(example.code)}
    ws.addEventListener('message', ({ data }) => {
      if (JSON.parse(data).type.startsWith('turn.completed')) ws.close();
    });`;
  const env = { ...plainEnvironment(home), CODEX_FLEET_TOKEN: running(fleet).client.token };
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', code], { env, timeout: 20_000 });
  assert.match(stdout, /^Progress: /);
  assert.match(stdout, /type: 'turn\.completed'/);
});

test('each way to name a model starts and says which it is', async () => {
  const example = only('starts');
  const lines = example.code.split('\n');
  const shown = example.shown?.code.split('\n') ?? [];
  assert.equal(lines.length, shown.length);
  for (const [index, line] of lines.entries()) {
    const { env, words } = parseCommand(line);
    assert.deepEqual(words.slice(0, 2), ['npm', 'start']);
    const started = await FleetUnderTest.start({ env, args: words.slice(3) });
    try {
      assert.match(started.screen, patternOf(shown[index] ?? ''));
    } finally {
      await started.close();
    }
  }
});

test('the configuration file of the README is one', () => {
  const [example] = examples.filter(({ language }) => language === 'toml');
  assert.ok(example !== undefined);
  const facts = { cores: 2, memoryBytes: 4e9, hostname: 'host', homeDir: home, cwd: home, stderrIsTerminal: false };
  const { config } = loadConfig({ env: {}, flags: {}, facts, readFile: () => example.code });
  assert.deepEqual([config.server.port, config.turns.timeoutMs, config.tokens.length], [8080, 600_000, 1]);
});

test('what the README tells contributors to run is what CI runs', () => {
  const ci = readFileSync(path.join(repository, '.ci/run'), 'utf8');
  for (const line of only('ci').code.split('\n')) assert.ok(ci.includes(line), line);
});

test('every link and every path that a page names leads somewhere', () => {
  const written = ['*.md', 'docs/**/*.md'].flatMap((pattern) => globSync(pattern, { cwd: repository }));
  const dead = written.flatMap((page) => {
    const text = readFileSync(path.join(repository, page), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)].map(([, target = '']) =>
      path.join(path.dirname(page), target),
    );
    const named = [...text.matchAll(/`((?:src|test|tools|docs|bin|\.ci)\/[\w./-]+)`/g)].map(
      ([, target = '']) => target,
    );
    return [...links, ...named]
      .filter((target) => !existsSync(path.join(repository, target)))
      .map((target) => `${page}: ${target}`);
  });
  assert.deepEqual(dead, []);
});

function only(kind: string): Example {
  const found = examples.filter((example) => example.kind === kind);
  assert.equal(found.length, 1, `blocks of kind ${kind}`);
  return found[0] ?? assert.fail();
}

function shownBy(example: Example): RegExp {
  return patternOf(addressed(example.shown?.code ?? assert.fail(`nothing is shown for line ${example.line}`)));
}

/** The README's addresses are the usual ones; the test's are whatever was free. */
function addressed(text: string): string {
  const hostOf = (started: FleetUnderTest): string => new URL(started.client.url).host;
  return text
    .replaceAll('127.0.0.1:8080', hostOf(running(fleet)))
    .replaceAll('127.0.0.1:7000', hostOf(running(worker)));
}

function running(started: FleetUnderTest | null): FleetUnderTest {
  return started ?? assert.fail('it did not start');
}

async function startWorker(command: string): Promise<FleetUnderTest> {
  const { env, words } = parseCommand(command);
  const dataDir = words.at(-1) ?? '';
  assert.deepEqual(words, ['bin/codex-fleet', 'worker', '--data-dir', dataDir]);
  return await FleetUnderTest.start({ role: 'worker', env, dataDir: dataDir.replace(/^~(?=\/)/, home) });
}

function parseCommand(line: string): { env: Record<string, string>; words: string[] } {
  const words = line.split(' ');
  const start = words.findIndex((word) => !/^\w+=/.test(word));
  const env = words.slice(0, start).map((word): [string, string] => {
    const at = word.indexOf('=');
    return [word.slice(0, at), word.slice(at + 1)];
  });
  return { env: Object.fromEntries(env), words: words.slice(start) };
}
