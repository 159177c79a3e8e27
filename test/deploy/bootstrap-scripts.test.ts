// The scripts as they are committed: fresh, clean, and clear about what they are given.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { resources } from '../../deploy/bootstrap/resources.ts';
import { quoteWord, renderBootstrap, renderFiles } from '../../tools/generate-bootstrap.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const folder = path.join(root, 'deploy/bootstrap');
const scripts = ['bootstrap.sh', 'teardown.sh', 'set-settings.sh'];
const missingShellcheck = 'needs shellcheck (Debian: apt-get install shellcheck)';

function run(
  command: string,
  args: readonly string[],
  input = '',
): { readonly code: number | null; readonly text: string } {
  // No gcloud, no credentials: a dry run and a refusal need neither.
  const ran = spawnSync(command, args, {
    encoding: 'utf8',
    input,
    timeout: 30_000,
    env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent' },
  });
  return { code: ran.error === undefined ? ran.status : null, text: ran.stdout + ran.stderr };
}

const place = ['--project', 'my-project', '--region', 'us-central1'];

describe('the scripts of the bootstrap', () => {
  it('are what the table and the parts make', () => {
    for (const { file, text } of renderFiles(resources)) {
      assert.ok(
        readFileSync(file, 'utf8') === text,
        `${path.basename(file)} is stale: run node tools/generate-bootstrap.ts`,
      );
    }
    assert.notEqual(renderBootstrap(resources.slice(1)), renderBootstrap(resources));
  });

  it('are bash', () => {
    for (const script of scripts)
      assert.deepEqual(run('bash', ['-n', path.join(folder, script)]), { code: 0, text: '' });
    assert.notEqual(run('bash', ['-n'], 'if then').code, 0);
  });

  it('leave shellcheck nothing to say', (test) => {
    if (run('shellcheck', ['--version']).code === null) return test.skip(missingShellcheck);
    assert.deepEqual(
      run(
        'shellcheck',
        scripts.map((script) => path.join(folder, script)),
      ),
      { code: 0, text: '' },
    );
    assert.notEqual(run('shellcheck', ['--shell=bash', '-'], 'rm $1/*\n').code, 0);
  });

  it('refuse what they cannot use, and name the option', () => {
    const refused: readonly [string, readonly string[], RegExp][] = [
      ['bootstrap.sh', [], /--project wants the id of a project .* not ''/],
      ['bootstrap.sh', ['--project=UPPER', '--region=us-central1'], /not 'UPPER'/],
      [
        'bootstrap.sh',
        [...place.slice(0, 2), '--region', 'us-central1-a'],
        /--region wants a region such as us-central1, not 'us-central1-a'/,
      ],
      ['bootstrap.sh', place, /--domain wants a host name/],
      ['bootstrap.sh', [...place, '--domain', 'https://a.example.com'], /--domain wants a host name/],
      [
        'bootstrap.sh',
        [...place, '--domain', 'a.example.com', '--profile', 'big'],
        /--profile wants dev or prod, not 'big'/,
      ],
      [
        'bootstrap.sh',
        [...place, '--domain', 'a.example.com', '--model-key-file', '/nonexistent'],
        /--model-key-file: '\/nonexistent' cannot be read/,
      ],
      ['bootstrap.sh', [...place, '--domain'], /--domain wants a value/],
      ['bootstrap.sh', ['--dryrun'], /there is no option --dryrun/],
      ['bootstrap.sh', [...place, '--domain', "a.example.com'; rm -rf /"], /--domain wants a host name/],
      ['teardown.sh', [...place, '--domain', 'a.example.com'], /--domain is for --dns-zone/],
    ];
    for (const [script, args, says] of refused) {
      const { code, text } = run('bash', [path.join(folder, script), ...args, '--dry-run']);
      assert.match(text, says);
      assert.equal(code, 2, text);
      assert.ok(!text.includes('gcloud'), text);
    }
  });

  it('print each command in a dry run, without credentials, the same twice', () => {
    for (const [script, args] of [
      ['bootstrap.sh', [...place, '--domain', 'codex.example.com']],
      ['teardown.sh', place],
    ] as const) {
      const first = run('bash', [path.join(folder, script), ...args, '--dry-run']);
      assert.equal(first.code, 0, first.text);
      assert.ok(first.text.split('\n').filter((line) => line.startsWith('gcloud ')).length > 60);
      assert.deepEqual(run('bash', [path.join(folder, script), ...args, '--dry-run']), first);
    }
  });

  it('quote what bash would read otherwise', () => {
    const words = [
      'plain',
      'two words',
      "it's",
      '$HOME',
      '$PROJECT',
      'a${b}',
      '{ print $1 }',
      '"$PROJECT"',
      '`id`$REGION',
      '$PROJECT_NUMBER@x',
      '$PROJECTs',
    ];
    const printed = run('bash', [
      '-c',
      `PROJECT=p REGION=r PROJECT_NUMBER=1 HOME=h; printf '%s\\n' ${words.map(quoteWord).join(' ')}`,
    ]);
    assert.deepEqual(printed.text.split('\n').slice(0, -1), [
      'plain',
      'two words',
      "it's",
      'h',
      'p',
      'a${b}',
      '{ print $1 }',
      '"p"',
      '`id`r',
      '1@x',
      'ps',
    ]);
  });
});

describe('set-settings.sh', () => {
  const set = (text: string, lines: string): { code: number | null; said: string; after: string } => {
    const dir = mkdtempSync(path.join(tmpdir(), 'fleet-settings-'));
    try {
      const file = path.join(dir, 'settings.env');
      writeFileSync(file, text);
      const { code, text: said } = run('bash', [path.join(folder, 'set-settings.sh'), file], lines);
      return { code, said, after: readFileSync(file, 'utf8') };
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };

  it('puts each line in the place of its key, and leaves the rest', () => {
    const { after } = set('# words\nA=1\n\nB=2\n', 'B=3\nC=a/b:c@sha256:d=&\\1\n');
    assert.equal(after, '# words\nA=1\n\nB=3\nC=a/b:c@sha256:d=&\\1\n');
  });

  it('refuses what is not a setting, and writes nothing then', () => {
    for (const lines of ['', 'rubbish\n', 'A=1 2\n']) {
      const { code, after } = set('A=1\n', lines);
      assert.equal(code, 1);
      assert.equal(after, 'A=1\n');
    }
  });
});
