// From what was given to the whole Config: defaults that depend on the machine or on other settings,
// and the rules that bind settings to one another.

import { isIP } from 'node:net';
import { join } from 'node:path';
import { isAlias } from '../core/ids.ts';
import type { HostFacts } from './host-facts.ts';
import type { ModelProvider, Settings } from './schema.ts';

/** Every setting has a value: nothing is optional that has a default. */
type Total<T> = { readonly [K in keyof T]-?: TotalValue<Exclude<T[K], undefined>> };
type TotalValue<T> = T extends readonly (infer E)[] ? readonly Readonly<E>[] : T extends object ? Total<T> : T;

type ResolvedModel = {
  readonly provider: ModelProvider;
  readonly name: string;
  /** null for the demo model. */
  readonly baseUrl: string | null;
  /** Where the key is read (see readModelKey); both null when the provider is sent none. */
  readonly apiKeyEnv: string | null;
  readonly apiKeyFile: string | null;
};

export type Config = Total<Omit<Settings, 'model'>> & { readonly model: ResolvedModel };

/** Which command is to run with it; null where none does, or one that starts nothing. */
export type ConfigRole = 'embedded' | 'worker' | 'gateway' | 'session-manager' | 'model-proxy';

export type ResolveInput = {
  readonly role: ConfigRole | null;
  readonly settings: Settings;
  readonly facts: HostFacts;
  /** Whether the variable named by `model.api_key_env` holds something. */
  readonly hasKeyVariable: boolean;
};

export type Conflict = { readonly paths: readonly string[]; readonly message: string };

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

export function resolveConfig(input: ResolveInput): Config {
  const { settings, facts } = input;
  const slots = settings.worker.slots ?? defaultSlots(facts);
  return {
    ...settings,
    dataDir: settings.dataDir ?? defaultDataDir(facts),
    worker: {
      ...settings.worker,
      id: settings.worker.id ?? defaultWorkerId(facts),
      slots,
      warmSlots: settings.worker.warmSlots ?? Math.min(2, slots),
      sessionMemoryBytes: settings.worker.sessionMemoryBytes ?? defaultSessionMemory(facts, slots),
    },
    model: resolveModel(input),
    cage: {
      ...settings.cage,
      allowNone:
        settings.cage.allowNone ??
        (isLoopback(settings.server.host) && isLoopback(settings.worker.host) && settings.tokens.length === 0),
    },
    log: {
      ...settings.log,
      level: settings.log.level ?? (facts.stderrIsTerminal ? 'warn' : 'info'),
      format: settings.log.format ?? (facts.stderrIsTerminal ? 'pretty' : 'json'),
    },
  };
}

export function defaultDataDir(facts: HostFacts): string {
  return join(facts.homeDir, '.codex-fleet');
}

/** 127.0.0.0/8, ::1 and localhost: addresses that other machines cannot reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Where no command is known, a Redis speaks for a cluster: the embedded fleet does not use it. */
function isOfCluster({ redis }: Pick<Config, 'redis'>, role: ConfigRole | null): boolean {
  if (role === 'embedded') return false;
  return role === null || role === 'worker' ? redis.url !== null : true;
}

function defaultSlots(facts: HostFacts): number {
  const byMemory = Math.floor(facts.memoryBytes / GiB);
  return Math.min(8, Math.max(2, Math.min(facts.cores * 2, byMemory)));
}

/** A container's limit is for all that run in it; a machine without one is seldom one session's alone, nor ever all of it. */
function defaultSessionMemory({ memoryBytes, memoryLimitBytes }: HostFacts, slots: number): number {
  const forOne = memoryLimitBytes === undefined ? memoryBytes / 2 : (memoryLimitBytes - 512 * MiB) / slots - 128 * MiB;
  return Math.max(256 * MiB, Math.floor(forOne));
}

function defaultWorkerId(facts: HostFacts): string {
  const name = facts.hostname
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replaceAll(/\.{2,}/g, '.')
    .replace(/^[^A-Za-z0-9]+/, '');
  return isAlias(name) ? name : 'worker-0';
}

const defaultBaseUrls: Readonly<Record<ModelProvider, string | null>> = {
  openai: 'https://api.openai.com/v1',
  responses: null,
  ollama: 'http://127.0.0.1:11434/v1',
  demo: null,
};

const defaultModels: Readonly<Record<ModelProvider, string>> = {
  // What model/list of codex 0.169 marks as its default.
  openai: 'gpt-6.1-sol',
  // Nobody can know: findConflicts asks for it.
  responses: '',
  // What codex --oss takes.
  ollama: 'gpt-oss:20b',
  demo: 'demo',
};

function resolveModel({ settings, hasKeyVariable }: ResolveInput): ResolvedModel {
  const { model } = settings;
  const provider = model.provider ?? defaultProvider(model, hasKeyVariable);
  const takesKey = provider === 'openai' || provider === 'responses';
  return {
    provider,
    name: model.name ?? defaultModels[provider],
    baseUrl: provider === 'demo' ? null : ((model.baseUrl ?? defaultBaseUrls[provider])?.replace(/\/+$/, '') ?? null),
    apiKeyEnv: takesKey ? model.apiKeyEnv : null,
    apiKeyFile: takesKey ? model.apiKeyFile : null,
  };
}

function defaultProvider(model: Settings['model'], hasKeyVariable: boolean): ModelProvider {
  // A base URL comes first: whoever gives one does not mean OpenAI's, whatever key lies around.
  if (typeof model.baseUrl === 'string') return 'responses';
  return model.apiKeyFile !== null || hasKeyVariable ? 'openai' : 'demo';
}

/** What each setting allows by itself but not together. */
export function findConflicts(config: Config, input: ResolveInput): Conflict[] {
  const { worker, turns, model, server, cage } = config;
  const conflicts: Conflict[] = [];
  const rule = (isBroken: boolean, paths: readonly string[], message: string): void => {
    if (isBroken) conflicts.push({ paths, message });
  };
  rule(
    worker.warmSlots > worker.slots,
    ['worker.warmSlots', 'worker.slots'],
    `${worker.warmSlots} warm slots are more than the ${worker.slots} slots there may be`,
  );
  rule(
    turns.timeoutMs > turns.maxTimeoutMs,
    ['turns.timeoutMs', 'turns.maxTimeoutMs'],
    `the default of ${turns.timeoutMs} ms is longer than the ${turns.maxTimeoutMs} ms that a request may ask for`,
  );
  rule(
    server.bodyLimitBytes > server.bodyLimitExecBytes,
    ['server.bodyLimitBytes', 'server.bodyLimitExecBytes'],
    'the limit for every other body is above the one for prompts',
  );
  rule(
    model.provider === 'openai' && model.apiKeyFile === null && !input.hasKeyVariable,
    ['model.provider', 'model.apiKeyEnv', 'model.apiKeyFile'],
    `openai needs a key: set ${model.apiKeyEnv ?? ''}, or name a file with --api-key-file`,
  );
  rule(
    model.provider === 'responses' && model.baseUrl === null,
    ['model.provider', 'model.baseUrl'],
    'responses needs to know where: give --base-url, such as http://127.0.0.1:8000/v1',
  );
  rule(
    model.provider === 'responses' && model.name === '',
    ['model.provider', 'model.name'],
    'responses needs to know which model: give --model',
  );
  rule(
    model.provider === 'demo' && typeof input.settings.model.baseUrl === 'string',
    ['model.provider', 'model.baseUrl'],
    'the demo model is built in and takes no base URL',
  );
  // A worker of a cluster serves one tenant at a time where it has no cage, and the other roles run no agents.
  const mayBeUncaged = cage.allowNone && !isOfCluster(config, input.role);
  rule(
    mayBeUncaged && config.tokens.length > 0,
    ['cage.allowNone', 'tokens'],
    'without a cage, tenants could read one another: not with tokens of several tenants',
  );
  rule(
    mayBeUncaged && !isLoopback(server.host),
    ['cage.allowNone', 'server.host'],
    `without a cage, only a loopback address may be served, not ${server.host}`,
  );
  rule(
    mayBeUncaged && !isLoopback(worker.host),
    ['cage.allowNone', 'worker.host'],
    `without a cage, only a loopback address may be served, not ${worker.host}`,
  );
  rule(
    config.manager.port === config.manager.storePort && config.manager.port !== 0,
    ['manager.port', 'manager.storePort'],
    'the store door has a port of its own',
  );
  rule(
    config.redis.caFile !== null && config.redis.url?.startsWith('rediss:') !== true,
    ['redis.caFile', 'redis.url'],
    'an authority is looked at where Redis is asked by TLS: a rediss:// URL',
  );
  const names = config.tokens.map((token) => token.name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  rule(repeated !== undefined, ['tokens'], `two tokens have the name ${JSON.stringify(repeated)}`);
  return conflicts;
}
