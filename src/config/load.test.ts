import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostFacts } from './host-facts.ts';
import { loadConfig } from './load.ts';
import type { LoadedConfig, LoadInput } from './load.ts';
import { ConfigProblems } from './problems.ts';
import type { ConfigRole } from './resolve.ts';

const facts: HostFacts = {
  cores: 2,
  memoryBytes: 24 * 1024 ** 3,
  hostname: 'box',
  homeDir: '/home/ana',
  cwd: '/srv',
  stderrIsTerminal: false,
};

type Given = {
  readonly env?: Record<string, string>;
  readonly flags?: Record<string, string>;
  readonly configFile?: string;
  readonly files?: Record<string, string>;
  readonly facts?: Partial<HostFacts>;
  readonly role?: ConfigRole;
};

function load(given: Given = {}): LoadedConfig {
  const input: LoadInput = {
    env: given.env ?? {},
    flags: given.flags ?? {},
    facts: { ...facts, ...given.facts },
    readFile: (path) => given.files?.[path] ?? null,
    ...(given.configFile === undefined ? {} : { configFile: given.configFile }),
    ...(given.role === undefined ? {} : { role: given.role }),
  };
  return loadConfig(input);
}

function problemsOf(given: Given): string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigProblems) return error.problems.map((problem) => problem.message);
    throw error;
  }
  return [];
}

test('with nothing given, every setting has its default', () => {
  const { config, origins, file } = load();
  assert.equal(file, null);
  assert.equal(config.dataDir, '/home/ana/.codex-fleet');
  assert.equal(config.storage, 'sqlite');
  assert.deepEqual(config.worker, {
    id: 'box',
    host: '127.0.0.1',
    port: 7000,
    slots: 4,
    warmSlots: 2,
    sessionMemoryBytes: 12 * 1024 ** 3,
    queueLimit: 1000,
    hibernateAfterMs: 300_000,
    heartbeatLimitMs: 10_000,
    recycleTurns: 500,
    recycleAgeMs: 7_200_000,
    recycleRssBytes: 600_000_000,
    recycleOpenFiles: 512,
    silenceMs: 60_000,
  });
  assert.deepEqual(config.turns, {
    timeoutMs: 1_800_000,
    maxTimeoutMs: 86_400_000,
    queueTimeoutMs: 300_000,
    waitMs: 600_000,
    maxPromptCodePoints: 1_048_576,
  });
  assert.deepEqual(config.model, { provider: 'demo', name: 'demo', baseUrl: null, apiKeyEnv: null, apiKeyFile: null });
  assert.deepEqual(config.cage, { readOnlyPaths: [], network: 'none', allowNone: true });
  assert.deepEqual(config.log, { level: 'info', format: 'json', prompts: false, gcpProject: null });
  assert.deepEqual(config.redis, { url: null, keyPrefix: 'codex-fleet:', caFile: null });
  assert.deepEqual(config.manager, { host: '127.0.0.1', port: 7200, storePort: 7201 });
  assert.deepEqual(config.cluster.storesUrl, []);
  assert.deepEqual(config.tokens, []);
  assert.equal(config.server.bodyLimitExecBytes, 16_777_216);
  assert.deepEqual(
    [...origins.values()].filter((origin) => origin.source !== 'default'),
    [],
  );
});

test('the whole configuration is frozen', () => {
  const { config } = load();
  assert.ok([config, config.server, config.server.allowedOrigins, config.model].every((part) => Object.isFrozen(part)));
});

test('a flag goes before a variable, a variable before the file, the file before the default; origins say which', () => {
  const files = {
    '/home/ana/.codex-fleet/config.toml': '[server]\nport = 1\nhost = "127.0.0.2"\nheartbeat_ms = 20000\n',
  };
  const { config, origins, file } = load({
    files,
    env: { CODEX_FLEET_PORT: '2', CODEX_FLEET_HOST: '127.0.0.3' },
    flags: { '--port': '3' },
  });
  assert.deepEqual([config.server.port, config.server.host, config.server.heartbeatMs], [3, '127.0.0.3', 20_000]);
  assert.equal(file, '/home/ana/.codex-fleet/config.toml');
  assert.deepEqual(
    ['server.port', 'server.host', 'server.heartbeatMs', 'storage'].map((path) => origins.get(path)),
    [
      { source: 'flag', name: '--port' },
      { source: 'environment', name: 'CODEX_FLEET_HOST' },
      { source: 'file', name: '/home/ana/.codex-fleet/config.toml:4:1' },
      { source: 'default', name: '' },
    ],
  );
});

test('the file is the one of --config, else of CODEX_FLEET_CONFIG, else of the data directory that is in effect', () => {
  const files = {
    '/srv/a.toml': '[server]\nport = 1',
    '/srv/b.toml': '[server]\nport = 2',
    '/data/config.toml': '[server]\nport = 3',
  };
  const env = { CODEX_FLEET_CONFIG: 'b.toml' };
  const flags = { '--data-dir': '/data' };
  assert.equal(load({ files, env, flags, configFile: 'a.toml' }).config.server.port, 1);
  assert.equal(load({ files, env, flags }).config.server.port, 2);
  assert.equal(load({ files, flags }).config.server.port, 3);
});

test('the variables of the seed are read; our own name goes before them', () => {
  const env = { REDIS_URL: 'redis://r:6379', CODEX_WORKERS: 'http://w0:7000, http://w1:7000', WORKER_ID: 'worker-7' };
  const { config } = load({ env });
  assert.equal(config.redis.url, 'redis://r:6379');
  assert.deepEqual(config.server.workers, ['http://w0:7000', 'http://w1:7000']);
  assert.equal(config.worker.id, 'worker-7');
  assert.equal(load({ env: { ...env, CODEX_FLEET_WORKER_ID: 'mine' } }).config.worker.id, 'mine');
});

const providers: readonly { title: string; given: Given; model: Partial<LoadedConfig['config']['model']> }[] = [
  {
    title: 'a key in the environment: openai',
    given: { env: { OPENAI_API_KEY: 'sk-x' } },
    model: {
      provider: 'openai',
      name: 'gpt-6.1-sol',
      baseUrl: 'https://api.openai.com/v1',
      apiKeyEnv: 'OPENAI_API_KEY',
    },
  },
  {
    title: 'an empty key: demo',
    given: { env: { OPENAI_API_KEY: '' } },
    model: { provider: 'demo', name: 'demo', apiKeyEnv: null },
  },
  {
    title: 'another variable for the key: openai',
    given: { env: { MY_KEY: 'x' }, flags: { '--api-key-env': 'MY_KEY' } },
    model: { provider: 'openai', apiKeyEnv: 'MY_KEY' },
  },
  {
    title: 'a key file: openai',
    given: { flags: { '--api-key-file': 'key' } },
    model: { provider: 'openai', apiKeyFile: '/srv/key' },
  },
  {
    title: 'a base URL goes before a key: responses',
    given: { env: { OPENAI_API_KEY: 'sk-x' }, flags: { '--base-url': 'http://h:1/v1/', '--model': 'm' } },
    model: { provider: 'responses', name: 'm', baseUrl: 'http://h:1/v1' },
  },
  {
    title: 'ollama, which is sent no key',
    given: { env: { OPENAI_API_KEY: 'sk-x' }, flags: { '--model-provider': 'ollama' } },
    model: { provider: 'ollama', name: 'gpt-oss:20b', baseUrl: 'http://127.0.0.1:11434/v1', apiKeyEnv: null },
  },
  {
    title: 'the demo in spite of a key',
    given: { env: { OPENAI_API_KEY: 'sk-x', CODEX_FLEET_MODEL_PROVIDER: 'demo' } },
    model: { provider: 'demo', apiKeyEnv: null },
  },
];
for (const { title, given, model } of providers) {
  test(`the provider follows from what is given: ${title}`, () => {
    const { config } = load(given);
    assert.deepEqual({ ...config.model, ...model }, config.model);
    assert.equal(JSON.stringify(config).includes('sk-x'), false);
  });
}

test('durations and sizes are taken as people write them', () => {
  const { config } = load({
    env: { CODEX_FLEET_TURNS_TIMEOUT_MS: '45m', CODEX_FLEET_SERVER_BODY_LIMIT_EXEC_BYTES: '32MiB' },
    files: { '/home/ana/.codex-fleet/config.toml': '[turns]\nmax_timeout_ms = "2h"' },
  });
  assert.deepEqual(
    [config.turns.timeoutMs, config.turns.maxTimeoutMs, config.server.bodyLimitExecBytes],
    [2_700_000, 7_200_000, 33_554_432],
  );
});

test('a path is relative to where it is written: the file, or the working directory; ~ is home', () => {
  const files = {
    '/etc/fleet/config.toml': '[cage]\nread_only_paths = ["tools", "~/sdk", "/opt"]\n[model]\napi_key_file = "key"',
  };
  const { config } = load({ files, configFile: '/etc/fleet/config.toml', flags: { '--data-dir': 'data' } });
  assert.deepEqual(config.cage.readOnlyPaths, ['/etc/fleet/tools', '/home/ana/sdk', '/opt']);
  assert.equal(config.model.apiKeyFile, '/etc/fleet/key');
  assert.equal(config.dataDir, '/srv/data');
});

test('slots follow cores and memory, and warm slots never exceed slots by default', () => {
  const slots = (cores: number, gib: number): number =>
    load({ facts: { cores, memoryBytes: gib * 1024 ** 3 } }).config.worker.slots;
  assert.deepEqual([slots(1, 1), slots(2, 3), slots(64, 256)], [2, 3, 8]);
  assert.equal(load({ flags: { '--slots': '1' } }).config.worker.warmSlots, 1);
});

test('at a terminal, logs are for a person and about what went wrong', () => {
  const { log } = load({ facts: { stderrIsTerminal: true } }).config;
  assert.deepEqual([log.level, log.format], ['warn', 'pretty']);
});

test('a host name that is no worker id is made into one', () => {
  assert.equal(load({ facts: { hostname: '_my box..local' } }).config.worker.id, 'my-box.local');
  assert.equal(load({ facts: { hostname: '---' } }).config.worker.id, 'worker-0');
});

test('a token in the file becomes its hash', () => {
  const token = 'a-token-of-some-length';
  const files = {
    '/home/ana/.codex-fleet/config.toml': `[[tokens]]\nname = "ci"\ntenant = "acme"\ntoken = "${token}"\n[[tokens]]\nname = "bob"\ntenant = "acme"\ntoken_sha256 = "${'0'.repeat(64)}"`,
  };
  const { config } = load({ files });
  assert.deepEqual(
    config.tokens.map((entry) => [entry.name, entry.tenant, entry.tokenSha256.length]),
    [
      ['ci', 'acme', 64],
      ['bob', 'acme', 64],
    ],
  );
  assert.equal(JSON.stringify(config).includes(token), false);
  assert.equal(config.cage.allowNone, false);
});

test('all problems are said at once, each with its names, the value, its origin and what is allowed', () => {
  const given: Given = {
    flags: { '--port': '70000', '--model-provider': 'gemini' },
    env: { CODEX_FLEET_TURNS_TIMEOUT_MS: '-5', CODEX_FLEET_SLOT: '3', REDIS_URL: 'http://user:hush@r' },
    files: {
      '/home/ana/.codex-fleet/config.toml': 'port = 1\n[server]\nheart_beat_ms = 1\n[cage]\nallow_none = "maybe"\n',
    },
  };
  assert.deepEqual(problemsOf(given).toSorted(), [
    '/home/ana/.codex-fleet/config.toml:1:1: there is no setting port; did you mean server.port?',
    '/home/ana/.codex-fleet/config.toml:3:1: there is no setting server.heart_beat_ms; did you mean server.heartbeat_ms?',
    'CODEX_FLEET_SLOT: there is no such variable; did you mean CODEX_FLEET_SLOTS?',
    'cage.allow_none (CODEX_FLEET_CAGE_ALLOW_NONE): got "maybe" from /home/ana/.codex-fleet/config.toml:5:1; allowed: true or false',
    'model.provider (--model-provider, CODEX_FLEET_MODEL_PROVIDER): got "gemini" from --model-provider; allowed: one of openai, responses, ollama, demo',
    'redis.url (CODEX_FLEET_REDIS_URL): got (hidden) from REDIS_URL; allowed: a redis:// or rediss:// URL',
    'server.port (--port, CODEX_FLEET_PORT): got "70000" from --port; allowed: a whole number from 0 to 65535',
    'turns.timeout_ms (CODEX_FLEET_TURNS_TIMEOUT_MS): got "-5" from CODEX_FLEET_TURNS_TIMEOUT_MS; allowed: milliseconds from 1 to 86400000 (24 h), or a duration such as 30s, 5m, 2h',
  ]);
  assert.throws(() => load(given), { message: /^The configuration has 8 problems:\n {2}/ });
});

const conflicts: readonly { title: string; given: Given; message: RegExp }[] = [
  {
    title: 'more warm slots than slots',
    given: { flags: { '--slots': '2', '--warm-slots': '3' } },
    message: /^worker\.slots \(--slots.*--warm-slots.*: 3 warm slots are more than the 2/,
  },
  {
    title: 'a range of addresses that is cut short',
    given: { env: { CODEX_FLEET_WEBHOOKS_ALLOW_PRIVATE: '10.8.0.0/16,10.8/16' } },
    message: /^webhooks\.allow_private .*10\.8\/16.*an address range such as 10\.8\.0\.0\/16/,
  },
  {
    title: 'openai without a key',
    given: { flags: { '--model-provider': 'openai' } },
    message: /openai needs a key: set OPENAI_API_KEY/,
  },
  {
    title: 'responses without a base URL',
    given: { flags: { '--model-provider': 'responses', '--model': 'm' } },
    message: /give --base-url/,
  },
  { title: 'responses without a model', given: { flags: { '--base-url': 'http://h/v1' } }, message: /give --model/ },
  {
    title: 'a default time-out above the most',
    given: { env: { CODEX_FLEET_TURNS_MAX_TIMEOUT_MS: '1m' } },
    message: /1800000 ms is longer than the 60000 ms/,
  },
  {
    title: 'no cage on an open address',
    given: { flags: { '--host': '0.0.0.0' }, env: { CODEX_FLEET_CAGE_ALLOW_NONE: 'true' } },
    message: /only a loopback address/,
  },
  {
    title: 'a file that is named and absent',
    given: { configFile: 'gone.toml' },
    message: /^\/srv\/gone\.toml: there is no such file \(--config\)$/,
  },
  {
    title: 'slots in the file that cannot be, by their place',
    given: {
      configFile: 'x.toml',
      files: { '/srv/x.toml': '[worker]\nslots = 1\n\n  warm_slots = 2' },
    },
    message: /slots.* from \/srv\/x\.toml:2:1 and .* from \/srv\/x\.toml:4:3: 2 warm slots are more than the 1/,
  },
  {
    title: 'a file that is no TOML',
    given: { configFile: 'x.toml', files: { '/srv/x.toml': 'a = = 1' } },
    message: /^\/srv\/x\.toml:1:\d+: /,
  },
];
for (const { title, given, message } of conflicts) {
  test(`refused, as the only problem: ${title}`, () => {
    const problems = problemsOf(given);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', message);
  });
}

const uncagedTenants = {
  env: { CODEX_FLEET_CAGE_ALLOW_NONE: 'true', REDIS_URL: 'redis://127.0.0.1:6379' },
  flags: { '--worker-host': '0.0.0.0' },
  configFile: 't.toml',
  files: { '/srv/t.toml': `[[tokens]]\nname = "ci"\ntenant = "ana"\ntoken = "${'x'.repeat(16)}"` },
} as const;

for (const role of ['gateway', 'session-manager', 'model-proxy', 'worker', undefined] as const) {
  test(`in a cluster tenants and an open address go with no cage: ${role ?? 'no command in particular'}`, () => {
    const { config } = load({ ...uncagedTenants, ...(role === undefined ? {} : { role }) });
    assert.deepEqual([config.cage.allowNone, config.tokens.length], [true, 1]);
  });
}

test('the fleet in one process takes neither without a cage, whatever Redis is in its environment', () => {
  const problems = problemsOf({ ...uncagedTenants, role: 'embedded' });
  assert.equal(problems.length, 2);
  assert.match(problems.join('\n'), /not with tokens of several tenants[^]*only a loopback address/);
});

test('a worker without a Redis is no cluster: it takes neither', () => {
  const { env } = uncagedTenants;
  const alone = { CODEX_FLEET_CAGE_ALLOW_NONE: env.CODEX_FLEET_CAGE_ALLOW_NONE };
  assert.equal(problemsOf({ ...uncagedTenants, env: alone, role: 'worker' }).length, 2);
});

test("what a session's commands may hold is a share of the container, or half of the machine, and never too little to work", () => {
  const GiB = 1024 ** 3;
  const MiB = 1024 ** 2;
  const held = (given: Partial<HostFacts>, slots = '4'): number =>
    load({ facts: given, flags: { '--slots': slots } }).config.worker.sessionMemoryBytes / MiB;
  assert.equal(held({ memoryBytes: 4 * GiB, memoryLimitBytes: 4 * GiB }), 768);
  assert.equal(held({ memoryBytes: 4 * GiB, memoryLimitBytes: 4 * GiB }, '2'), 1664);
  assert.equal(held({ memoryBytes: GiB, memoryLimitBytes: GiB }, '8'), 256);
  assert.equal(held({ memoryBytes: 16 * GiB }), 8192);
  const { config } = load({ env: { CODEX_FLEET_WORKER_SESSION_MEMORY_BYTES: '0' } });
  assert.equal(config.worker.sessionMemoryBytes, 0);
});

test('a token that is written wrong is described without being shown', () => {
  const files = { '/home/ana/.codex-fleet/config.toml': '[[tokens]]\nname = "ci"\ntenant = "a/b"\ntoken = "hush"' };
  const [problem, ...others] = problemsOf({ files });
  assert.deepEqual(others, []);
  assert.match(problem ?? '', /^tokens: got \(hidden\)/);
  assert.equal(problem?.includes('hush'), false);
});

test('what Kubernetes adds for a Service called codex-fleet is not taken for settings', () => {
  const env = {
    CODEX_FLEET_SERVICE_HOST: '10.0.0.1',
    CODEX_FLEET_SERVICE_PORT: '8080',
    CODEX_FLEET_SERVICE_PORT_HTTP: '8080',
    CODEX_FLEET_PORT: 'tcp://10.0.0.1:8080',
    CODEX_FLEET_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
    CODEX_FLEET_PORT_8080_TCP_ADDR: '10.0.0.1',
    CODEX_FLEET_GATEWAY_PORT: 'tcp://10.0.0.2:8080',
    CODEX_FLEET_URL: 'http://elsewhere',
    CODEX_FLEET_TOKEN: 'x',
    CODEX_FLEET_INTERNAL_THING: 'x',
  };
  assert.equal(load({ env }).config.server.port, 8080);
});

test('a worker is told of one store door or of several; only URLs are taken', () => {
  const url = 'http://codex-session-manager:7201';
  assert.deepEqual(load({ env: { CODEX_FLEET_CLUSTER_STORES_URL: url } }).config.cluster.storesUrl, [url]);
  const two = load({ env: { CODEX_FLEET_CLUSTER_STORES_URL: 'http://a:7201, https://b:7201' } });
  assert.deepEqual(two.config.cluster.storesUrl, ['http://a:7201', 'https://b:7201']);
  assert.equal(problemsOf({ env: { CODEX_FLEET_CLUSTER_STORES_URL: 'codex-session-manager:7201' } }).length, 1);
});

test('the store door needs a port of its own, unless both are picked', () => {
  const ports = (port: string, store: string): number =>
    problemsOf({ env: { CODEX_FLEET_MANAGER_PORT: port, CODEX_FLEET_MANAGER_STORE_PORT: store } }).length;
  assert.deepEqual([ports('7300', '7300'), ports('7300', '7301'), ports('0', '0')], [1, 0, 0]);
});

test('a private authority of Redis is for TLS alone', () => {
  const withUrl = (url: string): number =>
    problemsOf({ env: { REDIS_URL: url, CODEX_FLEET_REDIS_CA_FILE: '/etc/redis/ca.pem' } }).length;
  assert.deepEqual([withUrl('rediss://10.0.0.3:6378'), withUrl('redis://10.0.0.3:6379')], [0, 1]);
});
