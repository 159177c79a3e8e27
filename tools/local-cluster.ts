// A whole cluster on this machine: Redis with a password, a model proxy, workers, session managers and
// gateways, each a process of its own that is started again when it dies. For trying and for tests.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Member, type MemberCommand, type MemberFacts, type Role, roles } from './cluster-member.ts';

export type LocalClusterOptions = {
  /** Of the cluster's own: what stands in it is gone on with. */
  readonly dataDir: string;
  readonly gateways: number;
  readonly workers: number;
  readonly managers: number;
  /** Of the first gateway; the others follow. 0: any that are free. */
  readonly port: number;
  /** More words for the command line of every role, such as `--model-provider demo`. */
  readonly flags?: Partial<Readonly<Record<Exclude<Role, 'redis'>, readonly string[]>>>;
  /** What the roles find in their environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What one member finds there instead, such as other ways to the others. Asked at each start of it. */
  readonly memberEnv?: (member: string, env: Readonly<NodeJS.ProcessEnv>) => NodeJS.ProcessEnv;
  /** google: Firestore and Cloud Storage as the environment has them, emulators too. Default: sqlite. */
  readonly storage?: 'sqlite' | 'google';
  /** Workers reach records and snapshots through the session managers, and have a data directory of their own each. */
  readonly storeDoor?: boolean;
  /** The Redis to use instead of one of its own. */
  readonly redisUrl?: string;
  /** More words for the command line of redis-server. */
  readonly redisFlags?: readonly string[];
  readonly onLine?: (member: string, line: string) => void;
};

const readyDeadlineMs = 60_000;

export class RedisMissing extends Error {
  constructor() {
    super('a cluster needs redis-server (Debian: apt-get install redis-server), or a Redis at --redis-url');
    this.name = 'RedisMissing';
  }
}

export class LocalCluster {
  readonly #options: LocalClusterOptions;
  readonly #members = new Map<string, Member>();
  readonly #password: string;
  #redisUrl = '';

  private constructor(options: LocalClusterOptions) {
    this.#options = options;
    mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
    this.#password = keptSecret(path.join(this.#dir, 'redis-password'));
  }

  /** Resolves when every member is ready. Rejects with RedisMissing. */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const cluster = new LocalCluster(options);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get redisUrl(): string {
    return this.#redisUrl;
  }

  /** Of the data directory: what callers show. */
  get token(): string {
    return readFileSync(path.join(this.#dataDir, 'token'), 'utf8').trim();
  }

  members(role?: Role): readonly MemberFacts[] {
    const all = [...this.#members.values()].map(({ facts }) => facts);
    return role === undefined ? all : all.filter((facts) => facts.role === role);
  }

  /** Resolves when it is ready again. */
  async startMember(name: string): Promise<void> {
    await within(readyDeadlineMs, `${name} is ready`, this.#member(name).start());
  }

  /** Asked to, and in good order; it stays down until it is started. */
  async stopMember(name: string): Promise<void> {
    await this.#member(name).stop();
  }

  async kill9(name: string, options: { readonly holdDown?: boolean } = {}): Promise<void> {
    await this.#member(name).kill9(options);
  }

  /** The end of what it has said. */
  said(name: string): string {
    return this.#member(name).said;
  }

  /** In the order in which clients and turns mind least. */
  async stop(): Promise<void> {
    const order: readonly Role[] =
      this.#options.storeDoor === true
        ? // Workers let go of their sessions through the session managers.
          ['gateway', 'worker', 'session-manager', 'model-proxy', 'redis']
        : roles.toReversed();
    for (const role of order) {
      await Promise.all([...this.#members.values()].filter((one) => one.role === role).map((one) => one.stop()));
    }
  }

  /** At once: whatever runs is cut off. */
  async kill(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.kill9({ holdDown: true })));
  }

  get #dir(): string {
    return this.#options.dataDir;
  }

  get #dataDir(): string {
    return path.join(this.#dir, 'data');
  }

  /** With `storeDoor`: the worker's own. */
  workerDataDir(name: string): string {
    return path.join(this.#dir, 'worker-data', name);
  }

  #member(name: string): Member {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`the cluster has no ${name}`);
    return member;
  }

  async #start(): Promise<void> {
    const { gateways, managers, redisUrl, workers } = this.#options;
    if (redisUrl === undefined) await this.#startRedis();
    else this.#redisUrl = redisUrl;
    const port = await freePort();
    const controlPort = await freePort();
    this.#modelProxy = { port, controlPort };
    for (let number = 1; number <= managers; number += 1) {
      this.#storePorts.set(`session-manager-${number}`, await freePort());
    }
    await this.#startAll('model-proxy', 1);
    await Promise.all([
      this.#startAll('worker', workers),
      this.#startAll('session-manager', managers),
      this.#startAll('gateway', gateways),
    ]);
    await within(readyDeadlineMs, 'the gateways see workers', Promise.all(this.members('gateway').map(seesWorkers)));
  }

  #modelProxy = { port: 0, controlPort: 0 };
  /** Of each session manager, the same in every life of it. */
  readonly #storePorts = new Map<string, number>();

  async #startAll(role: Exclude<Role, 'redis'>, count: number): Promise<void> {
    const started = Array.from({ length: count }, async (_, index) => {
      const name = `${role}-${index + 1}`;
      const port = role === 'gateway' ? await this.#gatewayPort(index) : 0;
      const member = this.#add(name, role, () => this.#command(role, name, port));
      await within(readyDeadlineMs, `${name} is ready`, member.start());
    });
    await Promise.all(started);
  }

  /** The same in every life of it: clients come back to it. */
  #gatewayPort(index: number): Promise<number> {
    return this.#options.port === 0 ? freePort() : Promise.resolve(this.#options.port + index);
  }

  #command(role: Exclude<Role, 'redis'>, name: string, port: number): MemberCommand {
    const isByDoor = role === 'worker' && this.#options.storeDoor === true;
    const dataDir = isByDoor ? this.workerDataDir(name) : this.#dataDir;
    const words = ['sh', 'bin/run-node.sh', '--die-with-parent', 'src/cli/main.ts', role, '--data-dir', dataDir];
    if (role !== 'model-proxy' && !isByDoor) words.push('--storage', this.#options.storage ?? 'sqlite');
    if (role === 'gateway') words.push('--port', String(port));
    if (role === 'worker') words.push('--worker-port', '0');
    words.push(...(this.#options.flags?.[role] ?? []));
    const env = {
      ...this.#environment(role),
      ...(role === 'worker' ? { WORKER_ID: name } : {}),
      ...(isByDoor ? { CODEX_FLEET_CLUSTER_STORES_URL: this.#storeUrls().join(',') } : {}),
      ...(role === 'session-manager'
        ? { CODEX_FLEET_MANAGER_STORE_PORT: String(this.#storePorts.get(name) ?? 0) }
        : {}),
    };
    return { words, env: this.#options.memberEnv?.(name, env) ?? env };
  }

  #environment(role: Role): NodeJS.ProcessEnv {
    const { env } = this.#options;
    const { controlPort, port } = this.#modelProxy;
    const given: NodeJS.ProcessEnv = {
      ...env,
      NODE_COMPILE_CACHE: env['NODE_COMPILE_CACHE'] ?? path.join(this.#dir, 'compiled'),
      CODEX_FLEET_REDIS_URL: this.#redisUrl,
      CODEX_FLEET_MODEL_PROXY_PORT: String(port),
      CODEX_FLEET_MODEL_PROXY_CONTROL_PORT: String(controlPort),
      CODEX_FLEET_MODEL_PROXY_URL: `http://127.0.0.1:${port}`,
      CODEX_FLEET_MODEL_PROXY_CONTROL_URL: `http://127.0.0.1:${controlPort}`,
      CODEX_FLEET_MANAGER_PORT: '0',
      ...this.#sharedSecret(),
    };
    // The key is for the one that sends it, and for nobody who runs agents.
    if (role !== 'model-proxy') delete given[env['CODEX_FLEET_MODEL_API_KEY_ENV'] ?? 'OPENAI_API_KEY'];
    return given;
  }

  #storeUrls(): readonly string[] {
    return [...this.#storePorts.values()].map((port) => `http://127.0.0.1:${port}`);
  }

  /** Roles on many hosts have no file of their own in common. */
  #sharedSecret(): NodeJS.ProcessEnv {
    if (this.#options.storage !== 'google' && this.#options.storeDoor !== true) return {};
    return { CODEX_FLEET_CLUSTER_SECRET: keptSecret(path.join(this.#dir, 'shared-secret')) };
  }

  async #startRedis(): Promise<void> {
    if (!isInstalled('redis-server')) throw new RedisMissing();
    const dir = path.join(this.#dir, 'redis');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const port = await freePort();
    const settings = path.join(dir, 'redis.conf');
    // In a file of our own: what is on a command line can be read by every user of the machine.
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `requirepass ${this.#password}`,
      `dir ${dir}`,
      'save ""',
      'appendonly yes',
      'appendfsync everysec',
      'maxmemory-policy noeviction',
    ];
    writeFileSync(settings, `${lines.join('\n')}\n`, { mode: 0o600 });
    const words = ['redis-server', settings, ...(this.#options.redisFlags ?? [])];
    const env = { PATH: this.#options.env['PATH'] ?? '' };
    const member = this.#add('redis', 'redis', (self) => {
      void answersPing(port, this.#password).then(() => self.becomeReady());
      return { words: endsWithUs(words), env };
    });
    this.#redisUrl = `redis://:${this.#password}@127.0.0.1:${port}`;
    await within(readyDeadlineMs, 'redis is ready', member.start());
  }

  #add(name: string, role: Role, command: (member: Member) => MemberCommand): Member {
    const onLine = (line: string): void => this.#options.onLine?.(name, line);
    const member = new Member(name, role, command, () => this.#writeFacts(), onLine);
    this.#members.set(name, member);
    return member;
  }

  /** For whoever wants to end, pause or look at one of them from outside. */
  #writeFacts(): void {
    const file = path.join(this.#dir, 'cluster.json');
    writeFileSync(`${file}.new`, `${JSON.stringify(this.members(), null, 2)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

async function seesWorkers({ url }: MemberFacts): Promise<void> {
  for (;;) {
    const answer = await fetch(`${url}/readyz`).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function keptSecret(file: string): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('hex'), { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function endsWithUs(words: readonly string[]): readonly string[] {
  return existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', ...words] : words;
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answersPing(port: number, password: string): Promise<void> {
  for (;;) {
    const said = await new Promise<string>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
      let text = '';
      const end = (): void => {
        socket.destroy();
        resolve(text);
      };
      socket.setTimeout(1_000, end).on('error', end);
      socket.on('data', (data) => {
        text += data.toString('latin1');
        if (/PONG|LOADING|ERR/.test(text)) end();
      });
    });
    if (said.includes('+PONG')) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${limitMs} ms: ${what}`)), limitMs);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
