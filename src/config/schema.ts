// Every setting of Codex Fleet: what it takes, its default, and a sentence about it. Defaults that depend
// on the machine or on other settings are left out here and made in resolve.ts.

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { aliasPattern } from '../core/ids.ts';
import { sandboxModes } from '../core/session.ts';
import { isAddressRange } from './address-range.ts';
import { setting } from './setting.ts';
import {
  bytes,
  count,
  durationMs,
  GiB,
  hour,
  httpUrl,
  KiB,
  longestTimerMs,
  MiB,
  minute,
  port,
  second,
} from './setting-kinds.ts';
import { worker } from './worker-settings.ts';

/** As webhooks read it: nothing short, which some take for another range than others. */
const addressRange = z
  .string()
  .refine(isAddressRange)
  .meta({ description: 'an address range such as 10.8.0.0/16 or fd00:1::/32' });

const token = z
  .strictObject({
    name: z.string().min(1).max(128),
    tenant: z.string().regex(aliasPattern),
    token: z.string().min(16).optional(),
    token_sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
  })
  .refine((entry) => (entry.token === undefined) !== (entry.token_sha256 === undefined), {
    error: 'exactly one of token and token_sha256',
  })
  .transform((entry) => ({
    name: entry.name,
    tenant: entry.tenant,
    // Only the hash goes on from here: what is not kept cannot leak.
    tokenSha256:
      entry.token_sha256 ??
      createHash('sha256')
        .update(entry.token ?? '')
        .digest('hex'),
  }));

const server = z.strictObject({
  host: setting('text', z.string().min(1).default('127.0.0.1'), {
    flag: '--host',
    doc: 'The address that the gateway listens on.',
  }),
  port: port(8080, { flag: '--port', doc: 'The port that the gateway listens on; 0 picks a free one.' }),
  allowedOrigins: setting('list', z.array(z.string().min(1)).default([]), {
    flag: '--allowed-origins',
    doc: 'Origins whose pages may call the API from a browser, such as https://app.example.com.',
  }),
  allowedHosts: setting('list', z.array(z.string().min(1)).default([]), {
    doc: 'Host names, beside those of loopback, by which a fleet on a loopback address may be called: those of a proxy in front.',
  }),
  workers: setting('list', z.array(httpUrl).default([]), {
    envAliases: ['CODEX_WORKERS'],
    doc: 'Workers that a gateway of its own sends to, as URLs. The embedded fleet does not use it.',
  }),
  bodyLimitExecBytes: bytes(KiB, GiB, 16 * MiB, { doc: 'The largest body of a request that carries a prompt.' }),
  bodyLimitBytes: bytes(KiB, GiB, 1_250_000, { doc: 'The largest body of every other request.' }),
  heartbeatMs: durationMs(second, 10 * minute, 15 * second, { doc: 'How often a silent stream shows that it lives.' }),
  connectionBufferBytes: bytes(64 * KiB, GiB, MiB, {
    doc: 'What may wait for a slow reader of a stream before it is cut, to be resumed by its cursor.',
  }),
  maxConnections: count(1, 1_000_000, 10_000, { doc: 'The most client connections at once.' }),
  keepAliveTimeoutMs: durationMs(second, hour, 75 * second, {
    doc: 'How long an idle connection is kept; longer than the idle time-out of a load balancer in front.',
  }),
  headersTimeoutMs: durationMs(second, hour, 30 * second, {
    doc: 'The longest that request headers may take to arrive.',
  }),
  requestTimeoutMs: durationMs(second, hour, 2 * minute, {
    doc: 'The longest that a whole request may take to arrive.',
  }),
  headerLimitBytes: bytes(4 * KiB, MiB, 16 * KiB, { doc: 'The largest request line and headers together.' }),
  answerTimeoutMs: durationMs(second, hour, 2 * minute, {
    doc: 'The longest that a client may take to read an answer that is whole; streams go by stall_timeout_ms.',
  }),
  stallTimeoutMs: durationMs(second, hour, 30 * second, {
    doc: 'A stream whose reader takes nothing for so long is cut, to be resumed by its cursor.',
  }),
  frameLimitBytes: bytes(KiB, 16 * MiB, MiB, { doc: 'The largest frame that a WebSocket client may send.' }),
  streamsPerSocket: count(1, 10_000, 64, { doc: 'The most streams that one WebSocket may carry at once.' }),
  drainTimeoutMs: durationMs(0, 24 * hour, 30 * second, {
    doc: 'How long a stop waits for running turns before it interrupts them.',
  }),
});

const turns = z.strictObject({
  timeoutMs: durationMs(1, 24 * hour, 30 * minute, {
    doc: 'How long a turn may run when the request does not say; the wait for a slot is not in it.',
  }),
  maxTimeoutMs: durationMs(1, 24 * hour, 24 * hour, {
    doc: 'The longest `timeout_ms` that a request may ask for.',
  }),
  queueTimeoutMs: durationMs(1, 24 * hour, 5 * minute, { doc: 'How long a turn may wait for a slot.' }),
  waitMs: durationMs(0, 600 * second, 600 * second, {
    doc: 'How long exec waits for the end of a turn before it answers 202; also the most that a request may ask for.',
  }),
  maxPromptCodePoints: count(1, 1_048_576, 1_048_576, {
    doc: 'The longest prompt, in Unicode code points; Codex itself takes no more than 1048576.',
  }),
});

const sessions = z.strictObject({
  sandboxes: setting('list', z.array(z.enum(sandboxModes)).min(1).default(['read-only', 'workspace-write']), {
    doc: 'The sandboxes around single commands that a session may ask for; workspace-write is the default, or the first of them without it.',
  }),
  approvalTimeoutMs: durationMs(second, longestTimerMs, 24 * hour, {
    doc: 'How long an approval waits for an answer before it is declined.',
  }),
  rolloutLimitBytes: bytes(MiB, GiB, 64 * 1_000_000, {
    doc: 'A session whose conversation has grown to this size takes no more turns.',
  }),
  maxFiles: count(1, 10_000_000, 500_000, { doc: 'The most files that a workspace may hold.' }),
  maxBytes: bytes(MiB, 1024 * GiB, 10 * GiB, { doc: 'What the files of a workspace may take together.' }),
  keepSnapshots: count(1, 1000, 16, {
    doc: 'How many snapshots of a session are kept: as many of its last turns can be compared with.',
  }),
  retainMs: durationMs(0, 3650 * 24 * hour, 30 * 24 * hour, {
    doc: 'A session that nobody has used for so long is erased; 0 keeps all.',
  }),
});

const limits = z.strictObject({
  turnsPerMinute: count(0, 100_000, 0, {
    doc: 'How many turns a tenant may start in a minute, at all gateways together; 0 for no limit.',
  }),
});

const events = z.strictObject({
  retainMs: durationMs(0, 3650 * 24 * hour, 24 * hour, {
    doc: "How long events stay in the log; those of ended turns are in their session's snapshot as long as it lives.",
  }),
});

export const modelProviders = ['openai', 'responses', 'ollama', 'demo'] as const;
export type ModelProvider = (typeof modelProviders)[number];

const model = z.strictObject({
  provider: setting('choice', z.enum(modelProviders).optional(), {
    flag: '--model-provider',
    doc: 'Who answers for the model: OpenAI, a server that speaks the Responses API, Ollama, or the built-in demo.',
    defaultDoc: '`responses` when a base URL is given, else `openai` when there is a key, else `demo`',
  }),
  name: setting('text', z.string().min(1).max(200).optional(), {
    flag: '--model',
    doc: 'The model, by the name that the provider knows.',
    defaultDoc: 'by provider: `gpt-6.1-sol` (openai), `gpt-oss:20b` (ollama), `demo` (demo); none for responses',
  }),
  baseUrl: setting('text', httpUrl.nullable().optional(), {
    flag: '--base-url',
    doc: 'Where the provider is, up to and with /v1.',
    defaultDoc: 'by provider: https://api.openai.com/v1, http://127.0.0.1:11434/v1 (ollama)',
  }),
  apiKeyEnv: setting(
    'text',
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
      .default('OPENAI_API_KEY'),
    {
      flag: '--api-key-env',
      doc: 'The name of the variable that holds the API key. It is sent to openai and responses, never to ollama.',
    },
  ),
  apiKeyFile: setting('path', z.string().min(1).nullable().default(null), {
    flag: '--api-key-file',
    doc: 'A file that holds the API key; it goes before the variable.',
  }),
});

const cage = z.strictObject({
  readOnlyPaths: setting('path-list', z.array(z.string().min(1)).default([]), {
    doc: 'Paths of the host that agents may read, beside /usr and the few files of /etc that they need.',
  }),
  network: setting('choice', z.enum(['none', 'host']).default('none'), {
    doc: 'The network that agents have: none, or the whole network of the host, its loopback included.',
  }),
  allowNone: setting('boolean', z.boolean().optional(), {
    doc: 'Whether to start where no cage can be made. Agents can then read what this user can, and change it where no inner sandbox can be made either.',
    defaultDoc: 'true on a loopback address with a single tenant, else false',
  }),
});

export const configLogLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const log = z.strictObject({
  level: setting('choice', z.enum(configLogLevels).optional(), {
    flag: '--log-level',
    doc: 'The least severe log lines that are written.',
    defaultDoc: '`warn` when stderr is a terminal, else `info`',
  }),
  format: setting('choice', z.enum(['json', 'pretty']).optional(), {
    flag: '--log-format',
    doc: 'JSON lines, or lines for a person.',
    defaultDoc: '`pretty` when stderr is a terminal, else `json`',
  }),
  prompts: setting('boolean', z.boolean().default(false), {
    doc: 'Whether prompts are written to the log, up to 8192 characters. What the agent answers never is.',
  }),
  gcpProject: setting(
    'text',
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9.:-]{0,127}$/)
      .nullable()
      .default(null),
    {
      envAliases: ['GOOGLE_CLOUD_PROJECT'],
      doc: 'The Google Cloud project whose traces log lines refer to, for requests that come with a traceparent header.',
    },
  ),
});

const metrics = z.strictObject({
  token: setting('text', z.string().min(16).nullable().default(null), {
    secret: true,
    doc: 'A credential that reads `/metrics` of every role and nothing else, for what collects them. Default: none; the other credentials of a role read them as well.',
  }),
});

const tracing = z.strictObject({
  endpoint: setting('text', httpUrl.nullable().default(null), {
    envAliases: ['OTEL_EXPORTER_OTLP_ENDPOINT'],
    doc: 'Where an OpenTelemetry collector takes traces over OTLP/HTTP: its address, to which /v1/traces is added. Default: nothing is traced.',
  }),
  samplePercent: setting('number', z.number().min(0).max(100).default(100), {
    doc: 'How many of the traces that begin here are kept; of one that a caller began, the caller has decided.',
  }),
});

const redis = z.strictObject({
  url: setting(
    'text',
    z
      .url({ protocol: /^rediss?$/, error: 'a redis:// or rediss:// URL' })
      .nullable()
      .default(null),
    {
      envAliases: ['REDIS_URL'],
      secret: true,
      doc: 'The Redis that the roles of a cluster share. The embedded fleet does not use it.',
    },
  ),
  keyPrefix: setting(
    'text',
    z
      .string()
      .regex(/^[A-Za-z0-9:_-]{1,64}$/)
      .default('codex-fleet:'),
    {
      doc: 'What every key in Redis begins with: two fleets may share one Redis.',
    },
  ),
  caFile: setting('path', z.string().min(1).nullable().default(null), {
    doc: 'A PEM file with the authority of the certificate that Redis shows, where that is a private one; for a rediss:// URL.',
  }),
});

const cluster = z.strictObject({
  secret: setting('text', z.string().min(32).nullable().default(null), {
    secret: true,
    doc: 'What the roles of a cluster know one another by, the same for all of them. Default: a file of the data directory, made at the first start.',
  }),
  advertiseUrl: setting('text', httpUrl.nullable().default(null), {
    flag: '--advertise-url',
    doc: 'The URL at which the other roles reach this worker. Default: the address that it listens on.',
  }),
  heartbeatMs: durationMs(100, 2 * second, second, {
    doc: 'How often a worker says that it lives and how much room it has.',
  }),
  leaseMs: durationMs(second, 10 * minute, 10 * second, {
    doc: 'How long a worker holds a session without renewing; after that another may take it. It is renewed three times in that time.',
  }),
  storesUrl: setting('list', z.array(httpUrl).default([]), {
    doc: 'Where a worker finds the store door of the session managers: one URL of all of them, or that of each. With it a worker opens no records and no snapshots itself, and needs neither their directory nor an identity. Default: it opens them.',
  }),
});

const modelProxy = z.strictObject({
  host: setting('text', z.string().min(1).default('127.0.0.1'), {
    doc: 'The address that a model proxy of its own listens on.',
  }),
  port: port(7100, { doc: 'The port of a model proxy of its own for the model calls of agents; 0 picks a free one.' }),
  controlPort: port(7101, { doc: 'The port of a model proxy of its own for workers; 0 picks a free one.' }),
  url: setting('text', httpUrl.nullable().default(null), {
    doc: 'Where the roles of a cluster find the model proxy for the calls of agents.',
  }),
  controlUrl: setting('text', httpUrl.nullable().default(null), {
    doc: 'Where the roles of a cluster find the model proxy for grants and for what models there are.',
  }),
});

const manager = z.strictObject({
  host: setting('text', z.string().min(1).default('127.0.0.1'), {
    doc: 'The address that a session manager listens on, for probes and metrics and for its store door.',
  }),
  port: port(7200, { doc: 'The port that a session manager listens on for probes and metrics; 0 picks a free one.' }),
  storePort: port(7201, {
    doc: 'The port of the store door, through which workers reach records and snapshots; 0 picks a free one.',
  }),
});

/** host:port, with or without http:// in front, as the emulators' own names of variables have it. */
const emulator = (service: string, variable: string) =>
  setting(
    'text',
    z
      .string()
      .regex(/^(?:https?:\/\/)?[A-Za-z0-9.[\]:_-]+:\d+\/?$/)
      .nullable()
      .default(null),
    { envAliases: [variable], doc: `Where an emulator of ${service} is, instead of the service itself: host:port.` },
  );

const google = z.strictObject({
  project: setting(
    'text',
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9.:-]{0,127}$/)
      .nullable()
      .default(null),
    {
      doc: 'The Google Cloud project of Firestore, Cloud Storage and Pub/Sub. Default: that of the credentials.',
    },
  ),
  database: setting(
    'text',
    z
      .string()
      .regex(/^(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$/)
      .default('(default)'),
    { doc: 'The Firestore database of the records; it is made in Native mode.' },
  ),
  bucket: setting(
    'text',
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/)
      .nullable()
      .default(null),
    { doc: 'The Cloud Storage bucket of the snapshots.' },
  ),
  prefix: setting(
    'text',
    z
      .string()
      .regex(/^(?!-)[a-z0-9-]{1,48}(?<!-)$/)
      .default('codex-fleet'),
    {
      doc: 'What the names of our collections and objects begin with: fleets of different prefixes may share a database and a bucket.',
    },
  ),
  firestoreEmulator: emulator('Firestore', 'FIRESTORE_EMULATOR_HOST'),
  storageEmulator: emulator('Cloud Storage', 'STORAGE_EMULATOR_HOST'),
  pubsubEmulator: emulator('Pub/Sub', 'PUBSUB_EMULATOR_HOST'),
  timeoutMs: durationMs(second, 5 * minute, 10 * second, {
    doc: 'How long a call to Firestore or a small one to Cloud Storage may take, with all its repeats.',
  }),
});

const resourceName = (collection: string) =>
  z
    .string()
    .regex(new RegExp(`^(projects/[a-z0-9.:-]+/${collection}/)?[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`))
    .nullable()
    .default(null);

const pubsub = z.strictObject({
  jobsSubscription: setting('text', resourceName('subscriptions'), {
    doc: 'The Pub/Sub subscription whose messages become jobs. Default: none is read.',
  }),
  deadLetterTopic: setting('text', resourceName('topics'), {
    doc: 'Where messages go that can never become a job, with the reason. Default: they are refused until the dead-letter policy of the subscription takes them.',
  }),
  eventsTopic: setting('text', resourceName('topics'), {
    doc: 'The Pub/Sub topic that everything is published to that a webhook could be told. Default: none.',
  }),
  maxMessages: count(1, 10_000, 100, {
    doc: 'The most messages that are held at once before they have become jobs.',
  }),
});

const jobs = z.strictObject({
  sharePercent: count(1, 100, 50, {
    doc: 'How much of all slots jobs may use together; at least one. The rest is for turns that somebody waits for.',
  }),
  maxOpenPerTenant: count(1, 1_000_000, 10_000, { doc: 'The most jobs of a tenant that have not ended.' }),
  maxSchedulesPerTenant: count(0, 10_000, 100, { doc: 'The most schedules of a tenant.' }),
  retainMs: durationMs(24 * hour, 3650 * 24 * hour, 30 * 24 * hour, {
    doc: 'How long an ended job and its result are kept.',
  }),
});

const webhooks = z.strictObject({
  maxPerTenant: count(0, 1_000, 20, { doc: 'The most webhooks of a tenant.' }),
  timeoutMs: durationMs(second, 2 * minute, 15 * second, { doc: 'How long a receiver may take to answer.' }),
  retainMs: durationMs(hour, 3650 * 24 * hour, 7 * 24 * hour, {
    doc: 'How long deliveries that have ended are kept, to be looked at and replayed.',
  }),
  allowHttp: setting('boolean', z.boolean().default(false), {
    doc: 'Whether receivers may be at http:// URLs, too; what is told is then readable on its way.',
  }),
  allowPrivate: setting('list', z.array(addressRange).default([]), {
    doc: 'Address ranges of private networks that may be delivered to, such as 10.8.0.0/16; all others are refused.',
  }),
});

export const settingsSchema = z.strictObject({
  dataDir: setting('path', z.string().min(1).optional(), {
    flag: '--data-dir',
    doc: 'Where tokens, sessions and workspaces are kept.',
    defaultDoc: '~/.codex-fleet',
  }),
  storage: setting('choice', z.enum(['sqlite', 'memory', 'google']).default('sqlite'), {
    flag: '--storage',
    doc: 'Where records and snapshots are kept: sqlite, a file and folders in the data directory that outlive every process; memory, lost at a stop; google, Firestore and Cloud Storage, for a cluster of many hosts.',
  }),
  server: server.prefault({}),
  worker: worker.prefault({}),
  turns: turns.prefault({}),
  sessions: sessions.prefault({}),
  limits: limits.prefault({}),
  events: events.prefault({}),
  model: model.prefault({}),
  cage: cage.prefault({}),
  log: log.prefault({}),
  metrics: metrics.prefault({}),
  tracing: tracing.prefault({}),
  redis: redis.prefault({}),
  cluster: cluster.prefault({}),
  modelProxy: modelProxy.prefault({}),
  manager: manager.prefault({}),
  jobs: jobs.prefault({}),
  webhooks: webhooks.prefault({}),
  google: google.prefault({}),
  pubsub: pubsub.prefault({}),
  tokens: setting('tables', z.array(token).default([]), {
    secret: true,
    doc: 'Credentials of several tenants: name, tenant, and token or token_sha256 each. They stand beside the token of the data directory.',
  }),
});

/** What was given, checked, with the defaults that need no knowledge. */
export type Settings = z.output<typeof settingsSchema>;
