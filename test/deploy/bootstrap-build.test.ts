// The build of the images: what it names exists, what it builds is pushed and pinned, its script is bash.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';

const root = path.dirname(path.dirname(import.meta.dirname));
const text = readFileSync(path.join(root, 'deploy/cloudbuild.yaml'), 'utf8');

type Build = {
  readonly steps: readonly {
    readonly id: string;
    readonly args: readonly string[];
    readonly waitFor?: readonly string[];
  }[];
  readonly images: readonly string[];
  readonly substitutions: Readonly<Record<string, string>>;
};

/** Cloud Build's own; everything else begins with an underscore and is declared. */
const own = new Set(['PROJECT_ID', 'BUILD_ID']);

/** What is wrong with a build, in sentences. */
function faultsOf(source: string): string[] {
  const { steps, images, substitutions } = parse(source) as Build;
  const faults: string[] = [];
  const before = new Set(['-']);
  for (const { id, args, waitFor = [] } of steps) {
    for (const other of waitFor)
      if (!before.has(other)) faults.push(`${id} waits for ${other}, which is not before it`);
    before.add(id);
    for (const word of args) {
      // $$ is a $ for the shell.
      for (const [, name = ''] of word.replaceAll('$$', '').matchAll(/\$\{?([A-Za-z_]+)/g)) {
        if (!own.has(name) && substitutions[name] === undefined) faults.push(`${id}: $${name} is nobody's`);
      }
      const [, file] = /^--file=(.*)$/.exec(word) ?? [];
      if (file !== undefined && !existsSync(path.join(root, file))) faults.push(`${id}: there is no ${file}`);
    }
    const script = args[0] === '-c' ? (args[1] ?? '').replaceAll('$$', '$') : '';
    const { status } = spawnSync('bash', ['-n'], { input: script });
    if (status !== 0) faults.push(`${id}: its script is not bash`);
  }
  const tags = steps.flatMap(({ args }) =>
    args.flatMap((word) => (word.startsWith('--tag=') ? [word.slice('--tag='.length)] : [])),
  );
  for (const tag of tags) if (!images.includes(tag)) faults.push(`${tag} is built and not named`);
  for (const image of images) if (!tags.includes(image)) faults.push(`${image} is named and not built`);
  return faults;
}

describe('the build of the images', () => {
  it('names what exists, and each image that it builds', () => {
    assert.deepEqual(faultsOf(text), []);
    const { images } = parse(text) as Build;
    assert.deepEqual(
      images.map((image) => /\/([^/:]+):/.exec(image)?.[1]),
      ['codex-fleet', 'codex-fleet-worker'],
    );
  });

  it('would be refused with a file that is not there, an undeclared name, a broken script, a lost image', () => {
    const planted: readonly [string, string, RegExp][] = [
      ['worker.Dockerfile', 'workers.Dockerfile', /there is no deploy\/docker\/workers\.Dockerfile/],
      ['=$_VERSION', '=$_VERSIONS', /\$_VERSIONS is nobody's/],
      ['done\n', '\n', /push: its script is not bash/],
      ['codex-fleet-worker:$BUILD_ID\n\nsub', 'codex-fleet-workers:$BUILD_ID\n\nsub', /is built and not named/],
      ['waitFor: [fleet, worker]', 'waitFor: [fleet, workers]', /push waits for workers/],
    ];
    for (const [from, to, says] of planted) {
      assert.ok(text.includes(from), from);
      assert.match(faultsOf(text.replace(from, () => to)).join('\n'), says);
    }
  });

  it('writes its digests under the names that the settings of the overlays have', () => {
    for (const overlay of ['gke-dev', 'gke-prod']) {
      const settings = readFileSync(path.join(root, `deploy/overlays/${overlay}/settings/settings.env`), 'utf8');
      for (const name of ['FLEET_DIGEST', 'WORKER_DIGEST']) {
        assert.match(settings, new RegExp(`^${name}=`, 'm'));
        assert.match(text, new RegExp(`echo "${name}=`));
      }
    }
  });

  it('runs as an account that may read what was sent and write what it leaves, at places that the table makes', () => {
    const script = readFileSync(path.join(root, 'deploy/bootstrap/parts/bootstrap-end.sh'), 'utf8');
    assert.match(script, /--service-account=projects\/\$PROJECT\/serviceAccounts\/codex-build@/);
    assert.match(script, /--gcs-source-staging-dir=gs:\/\/\$PROJECT-codex-build\/source/);
    assert.match(text, /gs:\/\/\$PROJECT_ID-codex-build\//);
  });
});
