// What protocol/ says of this Codex version, held against the installed binary.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { EventDraft } from '../core/event.ts';
import { findDrift, nativeCodexPath, renderProtocol } from '../../tools/generate-protocol.ts';
import { type FeaturePin, pinnedFeatures, pinnedSettings, pinnedVersion } from './features.ts';
import { codexVersion } from './generated/version.ts';
import { buildInitialize, buildThreadResume, buildTurnStart } from './policy.ts';
import { modelProviderName, seedRollout } from './rollout.ts';
import { type Notification, TurnTranslator } from './translate.ts';

const codex = nativeCodexPath();
const resources = join(dirname(codex), '../codex-resources');
const sessionId = '019a0000-0000-7000-8000-000000000001';
const deadlineMs = 30_000;

type Listed = { readonly stage: string; readonly value: boolean };
type Reply = { readonly id: number; readonly error?: unknown };

function listFeatures(home: string): Map<string, Listed> {
  const text = execFileSync(codex, ['features', 'list'], {
    env: { HOME: home, CODEX_HOME: home },
    encoding: 'utf8',
    timeout: deadlineMs,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
  return new Map(rows.map(([name = '', stage = '', value]) => [name, { stage, value: value === 'true' }]));
}

/** As lines of TOML with dotted keys; JSON's strings and booleans are TOML's. */
function toToml(settings: Readonly<Record<string, unknown>>, prefix = ''): string {
  return Object.entries(settings)
    .map(([key, value]) =>
      typeof value === 'object' && value !== null
        ? toToml(value as Readonly<Record<string, unknown>>, `${prefix}${key}.`)
        : `${prefix}${key} = ${JSON.stringify(value)}\n`,
    )
    .join('');
}

/** One app-server on `home`; its notifications are kept, its requests fail the test. */
class AppServer {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #onLine: (line: string) => void = () => undefined;
  #lastId = 0;

  constructor(home: string, workspace: string) {
    const path = [resources, process.env['PATH']].join(delimiter);
    const env = { HOME: home, CODEX_HOME: home, PATH: path };
    this.#child = spawn(codex, ['app-server', '--strict-config'], {
      cwd: workspace,
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    assert.ok(this.#child.stdout);
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as Partial<Reply> & { method?: string };
      if (message.method === undefined) this.#waiting.get(message.id ?? -1)?.(message as Reply);
      else this.lines.push(line);
      this.#onLine(line);
    });
  }

  async call(method: string, params: unknown): Promise<void> {
    const id = ++this.#lastId;
    const reply = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    assert.equal((await reply).error, undefined, method);
  }

  async heard(method: string): Promise<void> {
    const said = `{"method":"${method}"`;
    if (this.lines.some((line) => line.startsWith(said))) return;
    await new Promise<void>((resolve) => {
      this.#onLine = (line) => {
        if (line.startsWith(said)) resolve();
      };
    });
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

/** A Responses server that always says the same thing. */
function startModel(): Server {
  return createServer((request, response) => {
    request.resume();
    if (!request.url?.endsWith('/responses')) {
      response.writeHead(404).end();
      return;
    }
    const item = { type: 'message', id: 'm1', role: 'assistant', content: [{ type: 'output_text', text: 'hello' }] };
    const usage = {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 2 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 1 },
      total_tokens: 13,
    };
    const events = [
      { type: 'response.created', response: { id: 'r1' } },
      { type: 'response.output_item.added', output_index: 0, item: { ...item, content: [] } },
      { type: 'response.output_text.delta', item_id: 'm1', output_index: 0, content_index: 0, delta: 'hello' },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: { id: 'r1', usage } },
    ];
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(''));
  }).listen(0, '127.0.0.1');
}

describe('the installed Codex', { timeout: deadlineMs * 2 }, () => {
  const root = mkdtempSync(join(tmpdir(), 'fleet-protocol-'));
  const home = join(root, 'home');
  const workspace = join(root, 'ws');
  let model: Server;

  before(async () => {
    model = startModel();
    await once(model, 'listening');
    const { port } = model.address() as AddressInfo;
    const provider = { name: 'fleet', base_url: `http://127.0.0.1:${port}/v1`, wire_api: 'responses' };
    const settings = {
      model: 'gpt-5.5',
      model_provider: modelProviderName,
      model_providers: { [modelProviderName]: { ...provider, supports_websockets: false } },
      ...pinnedSettings(),
    };
    mkdirSync(home);
    mkdirSync(workspace);
    writeFileSync(join(home, 'config.toml'), toToml(settings));
  });

  after(() => {
    model.close();
    model.closeAllConnections();
    rmSync(root, { recursive: true, force: true });
  });

  test('prints the types that are committed, of the version that the feature table is for', () => {
    assert.equal(codexVersion, pinnedVersion);
    assert.deepEqual(findDrift(renderProtocol()), []);
  });

  test('has exactly the features of our table, with the defaults that we rely on', () => {
    const bare = join(root, 'bare');
    mkdirSync(bare);
    const listed = listFeatures(bare);
    assert.deepEqual([...listed.keys()].sort(), Object.keys(pinnedFeatures).sort());
    for (const [name, pin] of Object.entries<FeaturePin>(pinnedFeatures)) {
      const { stage, value } = listed.get(name) ?? { stage: 'gone', value: false };
      assert.equal(pin === 'removed', stage === 'removed', name);
      if (pin === 'default-on' || pin === 'default-off') assert.equal(value, pin === 'default-on', name);
    }
  });

  test('takes our settings', () => {
    const listed = listFeatures(home);
    for (const [name, pin] of Object.entries<FeaturePin>(pinnedFeatures)) {
      if (typeof pin === 'boolean') assert.equal(listed.get(name)?.value, pin, name);
    }
  });

  test('resumes a rollout that we began, runs turns without a warning, and goes on in another process', async () => {
    const seed = seedRollout({ sessionId, createdAtMs: Date.now(), codexVersion, modelProvider: modelProviderName });
    mkdirSync(dirname(join(home, seed.relativePath)), { recursive: true });
    writeFileSync(join(home, seed.relativePath), seed.line);

    for (const turnId of ['first', 'second']) {
      const server = new AppServer(home, workspace);
      try {
        await server.call('initialize', buildInitialize('0.0.0'));
        const instructions = 'be kind';
        await server.call(
          'thread/resume',
          buildThreadResume({ sessionId, credential: 'c', instructions, workspacePath: workspace, model: null }),
        );
        const turn = {
          sessionId,
          prompt: 'hi',
          approvals: 'never',
          model: null,
          sandbox: 'workspace-write',
          network: false,
        } as const;
        await server.call('turn/start', buildTurnStart({ ...turn, workspacePath: workspace }));
        await server.heard('turn/completed');
      } finally {
        await server.stop();
      }
      const translator = new TurnTranslator({ sessionId, turnId });
      const events = server.lines.flatMap((line): EventDraft[] =>
        translator.feed(JSON.parse(line) as Notification, line),
      );
      assert.equal(events.length, server.lines.length);
      assert.deepEqual(
        events.filter((event) => event.type === 'warning').map((event) => event.fields),
        [],
      );
      assert.deepEqual(translator.outcome, { status: 'completed', error: null });
      assert.equal(translator.finalMessage, 'hello');
      assert.equal(translator.usage.inputTokens, 10, turnId);
    }
  });
});
