// Google's Firestore emulator for tests, on a free port of loopback; started, stopped, paused and emptied by them.
// null where this machine lacks it. It keeps everything in memory: what it held is gone when it ends.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import net from 'node:net';
import { homedir } from 'node:os';
import path from 'node:path';

export const missingFirestore =
  'needs Java and the Firestore emulator (gcloud components install cloud-firestore-emulator, or Debian: apt-get install google-cloud-cli-firestore-emulator)';

const mainClass = 'com.google.cloud.datastore.emulator.firestore.CloudFirestore';
const jarBelowSdk = 'platform/cloud-firestore-emulator/cloud-firestore-emulator.jar';
const readyDeadlineMs = 30_000;
const stopPatienceMs = 3_000;

export type WireFields = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export class FirestoreEmulator {
  readonly port: number;
  readonly #jar: string;
  #child: ChildProcess | null = null;

  private constructor(port: number, jar: string) {
    this.port = port;
    this.#jar = jar;
  }

  /** null where there is none. */
  static async start(): Promise<FirestoreEmulator | null> {
    const jar = emulatorJar();
    if (jar === null) return null;
    const emulator = new FirestoreEmulator(await freePort(), jar);
    await emulator.startAgain();
    return emulator;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? assert.fail('the emulator of the test runs');
  }

  /** After `kill9`, and empty. */
  async startAgain(): Promise<void> {
    assert.equal(this.#child, null);
    const args = ['-Xmx512m', '-cp', this.#jar, mainClass, 'start', '--host', '127.0.0.1', '--port', String(this.port)];
    const child = spawn('java', args, { stdio: 'ignore' });
    this.#child = child;
    const endMs = performance.now() + readyDeadlineMs;
    while (!(await answers(this.port))) {
      assert.equal(child.exitCode, null, 'the emulator ended at its start');
      assert.ok(performance.now() < endMs, 'the emulator is ready in time');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Connections stay, and nothing is answered. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** Forgets all documents of a project. */
  async reset(project = 'emulator', database = '(default)'): Promise<void> {
    const url = `http://${this.host}/emulator/v1/projects/${project}/databases/${database}/documents`;
    const response = await fetch(url, { method: 'DELETE' });
    assert.equal(response.status, 200);
  }

  /** The fields of a document, as the wire has them; null where there is none. `path`: below the database. */
  async fieldsOf(path: string): Promise<WireFields | null> {
    const response = await this.#ask('GET', path);
    return response.status === 404 ? null : ((await response.json()) as { fields: WireFields }).fields;
  }

  /** Changes some of a document's fields behind everybody's back; null removes one. */
  async damage(path: string, fields: Readonly<Record<string, unknown>>): Promise<void> {
    const mask = Object.keys(fields).map((name) => `updateMask.fieldPaths=${name}`);
    const kept = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
    const response = await this.#ask('PATCH', `${path}?${mask.join('&')}`, { fields: kept });
    assert.equal(response.status, 200, await response.text());
  }

  async remove(path: string): Promise<void> {
    assert.equal((await this.#ask('DELETE', path)).status, 200);
  }

  /** Names of the documents in a collection. */
  async namesIn(path: string): Promise<string[]> {
    const { documents = [] } = (await (await this.#ask('GET', path)).json()) as { documents?: { name: string }[] };
    return documents.map(({ name }) => name.split('/').at(-1) ?? '');
  }

  /** Paths of all documents, in their order. */
  async allNames(): Promise<string[]> {
    const root = 'projects/emulator/databases/(default)/documents';
    const structuredQuery = { from: [{ allDescendants: true }], select: { fields: [{ fieldPath: '__name__' }] } };
    const response = await fetch(`http://${this.host}/v1/${root}:runQuery`, {
      method: 'POST',
      headers: { authorization: 'Bearer owner', 'content-type': 'application/json' },
      body: JSON.stringify({ structuredQuery }),
    });
    const found = (await response.json()) as { document?: { name: string } }[];
    assert.equal(response.status, 200, JSON.stringify(found));
    return found.flatMap(({ document }) => (document === undefined ? [] : [document.name.slice(root.length + 1)]));
  }

  #ask(method: string, path: string, body?: unknown): Promise<Response> {
    const url = `http://${this.host}/v1/projects/emulator/databases/(default)/documents/${path}`;
    const headers = { authorization: 'Bearer owner', 'content-type': 'application/json' };
    return fetch(url, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  }

  async stop(): Promise<void> {
    if (this.#child === null) return;
    this.resume();
    const patience = setTimeout(() => this.#child?.kill('SIGKILL'), stopPatienceMs);
    await this.#end('SIGTERM');
    clearTimeout(patience);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await exited;
    this.#child = null;
  }
}

export function isFirestoreInstalled(): boolean {
  return emulatorJar() !== null;
}

function emulatorJar(): string | null {
  try {
    execFileSync('java', ['-version'], { stdio: 'ignore' });
  } catch {
    return null;
  }
  const roots = [
    sdkOfPath(),
    '/usr/lib/google-cloud-sdk',
    '/opt/google-cloud-sdk',
    path.join(homedir(), 'google-cloud-sdk'),
  ];
  const jars = roots.flatMap((root) => (root === null ? [] : [path.join(root, jarBelowSdk)]));
  return jars.find((jar) => existsSync(jar)) ?? null;
}

/** Where the `gcloud` that would be found lies. */
function sdkOfPath(): string | null {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter((folder) => folder !== '');
  const found = folders.map((folder) => path.join(folder, 'gcloud')).find((file) => existsSync(file));
  return found === undefined ? null : path.dirname(path.dirname(realpathSync(found)));
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1_000) });
    return response.ok;
  } catch {
    return false;
  }
}
