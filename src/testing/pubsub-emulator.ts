// The real Pub/Sub emulator for tests, on a free port of loopback; started, killed, paused and started again by
// them. It keeps everything in memory: after `kill9` its topics and subscriptions are gone. null where this
// machine has no Java or no emulator.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import net from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { type CreateSubscriptionOptions, PubSub } from '@google-cloud/pubsub';
import { PubsubDoor } from './pubsub-door.ts';

export const missingPubsub =
  'needs java and the Pub/Sub emulator (gcloud components install pubsub-emulator, or apt-get install google-cloud-cli-pubsub-emulator)';

const readyDeadlineMs = 30_000;
const main = 'com.google.cloud.pubsub.testing.v1.Main';

export class PubsubEmulator {
  readonly project = 'fleet-tests';
  readonly #port: number;
  readonly #doorPort: number;
  readonly #dir: string;
  readonly #lib: string;
  #child: ChildProcess | null = null;
  #door: PubsubDoor | null = null;
  #admin: PubSub | null = null;

  private constructor(port: number, doorPort: number, dir: string, lib: string) {
    this.#port = port;
    this.#doorPort = doorPort;
    this.#dir = dir;
    this.#lib = lib;
  }

  /** null where there is none; a suite is skipped then, with `missingPubsub` as its reason. */
  static async start(): Promise<PubsubEmulator | null> {
    const lib = emulatorFolder();
    if (lib === null) return null;
    const dir = mkdtempSync(path.join(tmpdir(), 'fleet-pubsub-'));
    const emulator = new PubsubEmulator(await freePort(), await freePort(), dir, lib);
    await emulator.startAgain();
    return emulator;
  }

  /** Through a door that tells the emulator of clients that were killed. */
  get endpoint(): string {
    return `127.0.0.1:${this.#doorPort}`;
  }

  /** The emulator itself. */
  get bareEndpoint(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? assert.fail('the emulator of the test runs');
  }

  /** A client for the test's own hands; another after each start. */
  get admin(): PubSub {
    return this.#admin ?? assert.fail('the emulator of the test runs');
  }

  /** After `kill9`: empty. */
  async startAgain(): Promise<void> {
    assert.equal(this.#child, null);
    const child = spawn(
      'java',
      [
        ...['-Xmx256m', '-cp', path.join(this.#lib, '*'), main],
        ...['--host=127.0.0.1', `--port=${this.#port}`, `--data-dir=${this.#dir}`],
      ],
      { stdio: 'ignore' },
    );
    this.#child = child;
    const endMs = performance.now() + readyDeadlineMs;
    while (!(await accepts(this.#port))) {
      assert.equal(child.exitCode, null, 'the Pub/Sub emulator ended at its start');
      assert.ok(performance.now() < endMs, 'the Pub/Sub emulator is ready in time');
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    this.#door = await PubsubDoor.open(this.#doorPort, this.#port);
    // The client would look for a metadata server first, and warn that there is none.
    process.env['METADATA_SERVER_DETECTION'] = 'none';
    this.#admin = new PubSub({ projectId: this.project, apiEndpoint: this.endpoint });
  }

  async kill9(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    await this.#admin?.close();
    this.#admin = null;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await exited;
    await this.#door?.close();
    this.#door = null;
  }

  /** Connections stay, and nothing is answered. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill9();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async createTopic(name: string): Promise<void> {
    await this.admin.createTopic(name);
  }

  async createSubscription(topic: string, name: string, options: CreateSubscriptionOptions = {}): Promise<void> {
    await this.admin.createSubscription(topic, name, options);
  }

  /** With a dead-letter topic behind it after that many attempts, given again at once. */
  async createSubscriptionWithPolicy(topic: string, name: string, deadLetters: string, attempts = 5): Promise<void> {
    await this.createSubscription(topic, name, {
      deadLetterPolicy: {
        deadLetterTopic: `projects/${this.project}/topics/${deadLetters}`,
        maxDeliveryAttempts: attempts,
      },
      retryPolicy: { minimumBackoff: { nanos: 10_000_000 }, maximumBackoff: { nanos: 20_000_000 } },
    });
  }
}

export function isPubsubInstalled(): boolean {
  return emulatorFolder() !== null;
}

function emulatorFolder(): string | null {
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' });
  } catch {
    return null;
  }
  const found = sdkRoots()
    .map((root) => path.join(root, 'platform', 'pubsub-emulator', 'lib'))
    .find((lib) => existsSync(lib) && readdirSync(lib).some((name) => name.endsWith('.jar')));
  return found ?? null;
}

function sdkRoots(): string[] {
  const usual = [
    '/usr/lib/google-cloud-sdk',
    '/usr/share/google-cloud-sdk',
    '/opt/google-cloud-sdk',
    path.join(homedir(), 'google-cloud-sdk'),
  ];
  try {
    const gcloud = realpathSync(execFileSync('sh', ['-c', 'command -v gcloud'], { encoding: 'utf8' }).trim());
    return [path.dirname(path.dirname(gcloud)), ...usual];
  } catch {
    return usual;
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const end = (isReady: boolean): void => {
      socket.destroy();
      resolve(isReady);
    };
    socket.on('error', () => end(false));
    socket.on('connect', () => end(true));
  });
}
