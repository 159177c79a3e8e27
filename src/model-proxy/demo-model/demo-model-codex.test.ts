import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { runModelProxy } from '../../testing/running-model-proxy.ts';
import type { RunningModelProxy } from '../../testing/running-model-proxy.ts';

// The real Codex binary, uncaged, against the demo model behind the proxy.

type Event = {
  readonly type: string;
  readonly item?: Item;
  readonly error?: { readonly message: string };
  readonly usage?: object;
};
type Item = Readonly<Record<string, unknown>> & { readonly type: string };
type Run = { readonly exitCode: number | null; readonly events: readonly Event[]; readonly workspace: string };

const target = process.arch === 'arm64' ? 'aarch64-unknown-linux-musl' : 'x86_64-unknown-linux-musl';
const packageJson = createRequire(import.meta.url).resolve(`@openai/codex-linux-${process.arch}/package.json`);
const codex = path.join(path.dirname(packageJson), 'vendor', target, 'bin', 'codex');

let running: RunningModelProxy;
let directory: string;
let turns = 0;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'demo-model-'));
  running = await runModelProxy({
    provider: { kind: 'demo', baseUrl: null, apiKey: null, defaultModel: null, models: [] },
    retryLimits: { baseDelayMs: 1 },
  });
});

after(async () => {
  await running.stop();
  await rm(directory, { recursive: true, force: true });
});

async function run(prompt: string, options: { agents?: string; isTurnOver?: boolean } = {}): Promise<Run> {
  turns += 1;
  const root = path.join(directory, String(turns));
  const home = path.join(root, 'home');
  const workspace = path.join(root, 'ws');
  await mkdir(home, { recursive: true });
  await mkdir(workspace);
  if (options.agents !== undefined) await writeFile(path.join(workspace, 'AGENTS.md'), options.agents);
  await writeFile(
    path.join(home, 'config.toml'),
    `model = "demo"
model_provider = "fleet"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.fleet]
name = "fleet"
base_url = "${running.baseUrl}"
wire_api = "responses"
supports_websockets = false
requires_openai_auth = false
experimental_bearer_token = "${running.grant.credential}"
request_max_retries = 0
stream_max_retries = 2
`,
  );
  await running.client.beginTurn(running.grant.id, `turn-${turns}`);
  if (options.isTurnOver === true) await running.client.endTurn(running.grant.id, `turn-${turns}`);
  const child = spawn(codex, ['exec', '--json', '--skip-git-repo-check', '-C', workspace, '-'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: home, CODEX_HOME: home },
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: 25_000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stdin.end(prompt);
  const exitCode = await new Promise<number | null>((resolve) => void child.once('close', resolve));
  const events = output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Event);
  return { exitCode, events, workspace };
}

function items(run: Run, type: string): Item[] {
  return run.events.flatMap(({ type: event, item }) =>
    event === 'item.completed' && item?.type === type ? [item] : [],
  );
}

function lastText(run: Run): unknown {
  return items(run, 'agent_message').at(-1)?.['text'];
}

test('a script runs a command, writes files of any content, thinks and speaks, in its order', async () => {
  const content = `"quoted" 'twice' $HOME \`id\`\n*** End Patch\nPATCH\n+plus\n\nöäü 🌍`;
  const result = await run(
    `think: let us see\nrun: echo one && false\nwrite: a dir/it's.txt <<END\n${content}\nEND\nwrite: plain.txt: short\nsay: all done`,
  );
  assert.equal(result.exitCode, 0);
  assert.deepEqual(
    items(result, 'reasoning').map(({ text }) => text),
    ['let us see'],
  );
  const [command] = items(result, 'command_execution');
  assert.deepEqual([command?.['aggregated_output'], command?.['exit_code']], ['one\n', 1]);
  assert.equal(items(result, 'file_change').length, 2);
  assert.equal(await readFile(path.join(result.workspace, "a dir/it's.txt"), 'utf8'), `${content}\n`);
  assert.equal(await readFile(path.join(result.workspace, 'plain.txt'), 'utf8'), 'short\n');
  assert.equal(lastText(result), 'all done');
});

test('a script that ends with a command answers with what it printed', async () => {
  const result = await run('run: printf "hello\\nworld\\n"; exit 3');
  assert.equal(lastText(result), 'Ran `printf "hello\\nworld\\n"; exit 3` (exit code 3):\nhello\nworld\n');
});

test('streamed words arrive whole and in order', async () => {
  const result = await run('stream: 300 words at 1 ms');
  assert.equal(lastText(result), Array.from({ length: 300 }, (_, index) => `word${index + 1}`).join(' '));
  assert.equal(result.events.at(-1)?.type, 'turn.completed');
});

test('an answer that breaks off once is asked for again and then completes', async () => {
  const result = await run('break: after 5 words\nsay: after the break');
  assert.equal(result.exitCode, 0);
  assert.equal(lastText(result), 'after the break');
  assert.ok(
    result.events.some(({ type }) => type === 'error'),
    'Codex says that it reconnects',
  );
});

test('an answer that always breaks off fails the turn', async () => {
  const result = await run('break: after 5 words, always');
  assert.equal(result.exitCode, 1);
  assert.equal(result.events.at(-1)?.type, 'turn.failed');
});

test('a provider that fails twice and then answers is not noticed', async () => {
  const result = await run('fail: 503, 2 times\nsay: here I am');
  assert.equal(lastText(result), 'here I am');
  assert.deepEqual(
    result.events.filter(({ type }) => type === 'error'),
    [],
  );
});

for (const [prompt, message] of [
  ['fail: 400', /demo model failed with 400/],
  ['fail: auth', /demo model failed with 401/],
  ['fail: context', /ran out of room/],
  ['fail: quota', /Quota exceeded/],
  ['fail: rate_limit', /429/],
  ['fail: 500', /./],
] as const) {
  test(`\`${prompt}\` fails the turn`, async () => {
    const result = await run(prompt);
    assert.equal(result.exitCode, 1);
    assert.match(result.events.at(-1)?.error?.message ?? '', message);
  });
}

test('an approval is refused where nobody can be asked', async () => {
  const result = await run('ask: touch /tmp/never');
  assert.match(String(lastText(result)), /Asked to run `touch \/tmp\/never`:\napproval policy is Never/);
});

test('AGENTS.md reaches the model, and any other prompt is answered with what it is', async () => {
  const told = await run('instructions: MARKER', { agents: 'Always be kind. MARKER77 and more' });
  assert.match(String(lastText(told)), /^MARKER77 and more/);
  const asked = await run('Please write me a compiler', { agents: 'x' });
  assert.match(String(lastText(asked)), /I am the demo model.*Please write me a compiler.*shown: 0.*shown: yes/s);
});

test('Codex gives up at once when its turn has ended', async () => {
  const refusedBefore = running.logText().split('"outcome":"refused"').length;
  const result = await run('say: never', { isTurnOver: true });
  assert.match(result.events.at(-1)?.error?.message ?? '', /no running turn/);
  assert.equal(running.logText().split('"outcome":"refused"').length, refusedBefore + 1);
});
