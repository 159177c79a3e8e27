// bootstrap.sh and teardown.sh run for real, against a gcloud and a kubectl that keep what was made in files.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

const root = path.dirname(path.dirname(import.meta.dirname));
const key = 'sk-a-key-that-nobody-may-see';
const place = ['--project=my-project', '--region=us-central1'];
const wanted = [...place, '--domain=codex.example.com'];

type Ran = { readonly code: number | null; readonly text: string; readonly calls: readonly string[] };

class Cloud {
  readonly dir = mkdtempSync(path.join(tmpdir(), 'fleet-bootstrap-'));
  readonly state = path.join(this.dir, 'state');
  readonly deploy = path.join(this.dir, 'deploy');

  constructor() {
    for (const name of ['state', 'bin', 'deploy/overlays/gke-prod/settings']) {
      mkdirSync(path.join(this.dir, name), { recursive: true });
    }
    for (const tool of ['gcloud', 'kubectl', 'gke-gcloud-auth-plugin']) {
      symlinkSync(path.join(import.meta.dirname, 'fake-cloud.sh'), path.join(this.dir, 'bin', tool));
    }
    // A copy: it writes the settings of the overlay beside itself.
    for (const name of ['bootstrap', 'storage']) {
      cpSync(path.join(root, 'deploy', name), path.join(this.deploy, name), { recursive: true });
    }
    writeFileSync(this.settings, '# mine\nPROJECT=PROJECT_ID\nFLEET_DIGEST=sha256:1\nHOST=other.example.com\n');
  }

  /** One in which everything has been made. */
  copy(): Cloud {
    const copy = new Cloud();
    cpSync(this.state, copy.state, { recursive: true });
    return copy;
  }

  get settings(): string {
    return path.join(this.deploy, 'overlays/gke-prod/settings/settings.env');
  }

  set(name: string, text: string): void {
    writeFileSync(path.join(this.state, name), text);
  }

  read(name: string): string {
    return readFileSync(path.join(this.state, name), 'utf8');
  }

  run(
    script: string,
    args: readonly string[],
    { input = '', apiKey = key }: { input?: string; apiKey?: string } = {},
  ): Ran {
    this.set('calls', '');
    // No terminal, at which the key could be asked for.
    const ran = spawnSync('setsid', ['--wait', 'bash', path.join(this.deploy, 'bootstrap', script), ...args], {
      encoding: 'utf8',
      input,
      timeout: 50_000,
      env: {
        PATH: `${path.join(this.dir, 'bin')}:/usr/bin:/bin`,
        HOME: this.dir,
        TMPDIR: this.dir,
        FAKE_STATE: this.state,
        BOOTSTRAP_PAUSE_S: '0',
        BOOTSTRAP_RETRY_BUDGET_S: '5',
        ...(apiKey === '' ? {} : { OPENAI_API_KEY: apiKey }),
      },
    });
    const calls = this.read('calls')
      .split('\n')
      .filter((line) => line !== '');
    return { code: ran.status, text: ran.stdout + ran.stderr, calls };
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const changing =
  / (?:create|create-auto|update|add|enable|add-iam-policy-binding|remove-iam-policy-binding|delete|rm|apply) /;

/** Without those that only write to the script's own directory, or print. */
function changesOf(calls: readonly string[]): string[] {
  return calls.filter((call) => changing.test(`${call} `) && !call.startsWith('kubectl create'));
}

function withCloud(use: (cloud: Cloud) => void, cloud = new Cloud()): void {
  try {
    use(cloud);
  } finally {
    cloud.remove();
  }
}

const made = new Cloud();
let making: Ran;
before(() => {
  making = made.run('bootstrap.sh', wanted);
});
after(() => made.remove());

describe('bootstrap.sh', () => {
  it('makes everything from nothing, and changes nothing when it runs again', () => {
    assert.equal(making.code, 0, making.text);
    assert.ok(changesOf(making.calls).length > 100);
    const settings = readFileSync(made.settings, 'utf8');
    assert.equal(
      settings,
      '# mine\nPROJECT=my-project\nFLEET_DIGEST=sha256:1\nHOST=codex.example.com\nREGION=us-central1\nBUCKET=my-project-codex-snapshots\nREDIS_RANGE=10.40.0.0/29\n',
    );
    assert.match(making.text, /codex\.example\.com\. {2}A {2}203\.0\.113\.7/);
    assert.match(made.read('secret+codex-redis'), /url=rediss:\/\/10\.40\.0\.2:6379/);

    const second = made.run('bootstrap.sh', wanted);
    assert.equal(second.code, 0, second.text);
    assert.deepEqual(changesOf(second.calls), []);
    assert.match(second.text, /nothing was changed/);
  });

  it('never shows a secret: not in what it prints, not in the words of a command', () => {
    const { text, calls } = making;
    const secrets = ['codex-model-key', 'codex-cluster-secret', 'codex-tokens'].map((name) =>
      made.read(`value-${name}`),
    );
    assert.equal(secrets[0], key);
    assert.match(secrets[1] ?? '', /^[0-9a-f]{64}$/);
    assert.match(secrets[2] ?? '', /^\[\[tokens\]\]\nname = "first"\ntenant = "default"\ntoken = "[0-9a-f]{64}"\n$/);
    const seen = [text, ...calls].join('\n');
    const token = /token = "(.*)"/.exec(secrets[2] ?? '')?.[1] ?? assert.fail('there is a token');
    for (const secret of [key, secrets[1] ?? '', token]) assert.ok(!seen.includes(secret), `${secret} was shown`);
  });

  it('stops with what failed and how to go on, and goes on when it is run again', () =>
    withCloud((cloud) => {
      cloud.set('fail', 'clusters create-auto');
      const stopped = cloud.run('bootstrap.sh', wanted);
      assert.equal(stopped.code, 1);
      assert.match(stopped.text, /stopped at cluster: the command failed/);
      assert.match(stopped.text, /gcloud container clusters create-auto codex/);
      assert.match(stopped.text, /planted failure/);
      assert.match(stopped.text, /run the same command again/);
      assert.ok(!stopped.calls.some((call) => call.startsWith('kubectl')));
      cloud.set('fail', '');
      const again = cloud.run('bootstrap.sh', wanted);
      assert.equal(again.code, 0, again.text);
      assert.ok(!again.calls.some((call) => call.includes('networks create')));
      assert.ok(again.calls.some((call) => call.includes('clusters create-auto')));
    }));

  it('does not take a refusal for an answer: what could not be looked at is not made', () =>
    withCloud((cloud) => {
      cloud.set('fail', 'databases describe');
      const { code, text, calls } = cloud.run('bootstrap.sh', wanted);
      assert.equal(code, 1);
      assert.match(text, /stopped at records: could not look/);
      assert.ok(!calls.some((call) => call.includes('databases create')));
    }));

  it('tries again what passes by itself', () =>
    withCloud((cloud) => {
      cloud.set('flaky', 'projects add-iam-policy-binding.*datastore');
      const { code, text } = cloud.run('bootstrap.sh', wanted);
      assert.equal(code, 0, text);
      assert.match(text, /not yet \(.*concurrent policy changes/);
    }));

  it('stops before anything that takes long when the key of the model is missing', () =>
    withCloud((cloud) => {
      const { code, text, calls } = cloud.run('bootstrap.sh', wanted, { apiKey: '' });
      assert.equal(code, 1);
      assert.match(text, /no key of the model/);
      assert.ok(!calls.some((call) => /create-auto|memorystore instances/.test(call)));
    }));

  it('writes the records of the domain where Cloud DNS has its zone, and has no Memorystore in the profile dev', () =>
    withCloud((cloud) => {
      const { code, text, calls } = cloud.run('bootstrap.sh', [...wanted, '--profile', 'dev', '--dns-zone', 'codex']);
      assert.equal(code, 0, text);
      assert.ok(calls.some((call) => call.includes('record-sets create codex.example.com. --type=A')));
      assert.ok(!calls.some((call) => /memorystore|security-policies/.test(call)));
      assert.match(cloud.read('value-codex-redis-url'), /^redis:\/\/:[0-9a-f]{64}@codex-redis:6379$/);
    }));

  it('changes what is there with --update alone, and makes nothing again', () =>
    withCloud((cloud) => {
      const { code, text, calls } = cloud.run('bootstrap.sh', [...wanted, '--update']);
      assert.equal(code, 0, text);
      const changes = changesOf(calls);
      assert.ok(changes.some((call) => call.includes('buckets update')));
      assert.deepEqual(
        changes.filter((call) => !call.includes(' update ')),
        [],
      );
    }, made.copy()));

  it('waits for a cluster that an earlier run began, and only so long', () =>
    withCloud((cloud) => {
      cloud.set('status', 'DEGRADED');
      const script = path.join(cloud.deploy, 'bootstrap/bootstrap.sh');
      const shortened = readFileSync(script, 'utf8').replace('await RUNNING 30', 'await RUNNING 0');
      writeFileSync(script, shortened);
      const { code, text } = cloud.run('bootstrap.sh', wanted);
      assert.equal(code, 1);
      assert.match(text, /stopped at cluster: it is DEGRADED, and not RUNNING, after 0 minutes/);
    }, made.copy()));

  it('says so when the cluster is too old for the autoscaler of the overlay, and only then', () =>
    withCloud((cloud) => {
      assert.doesNotMatch(making.text, /components\/autoscaling/);
      cloud.set('version', '1.36.4-gke.1247000');
      const { code, text } = cloud.run('bootstrap.sh', wanted);
      assert.equal(code, 0, text);
      assert.match(text, /The cluster is GKE 1\.36\.4-gke\.1247000, .*\n# \.\.\/\.\.\/components\/autoscaling out of/);
    }, made.copy()));

  it('grants workers nothing', () => {
    const { calls } = making;
    const members = calls.flatMap((call) => /--member=principal:\S+\/sa\/(\S+)/.exec(call)?.[1] ?? []);
    assert.deepEqual([...new Set(members)].toSorted(), ['codex-gateway', 'codex-model-proxy', 'codex-session-manager']);
    assert.ok(!calls.some((call) => call.includes('codex-pool')));
  });
});

describe('teardown.sh', () => {
  const left = (cloud: Cloud): string[] =>
    [
      'firestore+databases+codex',
      'storage+buckets+gs:__my-project-codex-snapshots',
      'secrets+codex-model-key',
      'container+clusters+codex',
      'compute+networks+codex',
      'memorystore+instances+codex',
    ].filter((name) => {
      try {
        return cloud.read(name) !== '';
      } catch {
        return false;
      }
    });

  it('keeps the data, and removes them with --delete-data although they are protected', () =>
    withCloud((cloud) => {
      const kept = cloud.run('teardown.sh', [...place, '--yes']);
      assert.equal(kept.code, 0, kept.text);
      assert.deepEqual(left(cloud), [
        'firestore+databases+codex',
        'storage+buckets+gs:__my-project-codex-snapshots',
        'secrets+codex-model-key',
      ]);
      assert.match(kept.text, /These stay/);
      const all = cloud.run('teardown.sh', [...place, '--yes', '--delete-data']);
      assert.equal(all.code, 0, all.text);
      assert.deepEqual(left(cloud), []);
      const again = cloud.run('teardown.sh', [...place, '--yes', '--delete-data']);
      assert.equal(again.code, 0, again.text);
      assert.deepEqual(changesOf(again.calls), []);
    }, made.copy()));

  it('takes the load balancer down while the cluster is there to do it', () =>
    withCloud((cloud) => {
      const { calls } = cloud.run('teardown.sh', [...place, '--yes']);
      const at = (part: string): number => calls.findIndex((call) => call.includes(part));
      assert.ok(at('delete gateways.gateway') !== -1 && at('delete gateways.gateway') < at('clusters delete'));
      assert.ok(at('clusters delete') < at('addresses delete'));
    }, made.copy()));

  it('asks for the name of the project, and removes nothing for another one', () =>
    withCloud((cloud) => {
      const refused = cloud.run('teardown.sh', place, { input: 'another\n' });
      assert.equal(refused.code, 1);
      assert.deepEqual(refused.calls, []);
      assert.equal(cloud.run('teardown.sh', place, { input: 'my-project\n' }).code, 0);
    }, made.copy()));
});
