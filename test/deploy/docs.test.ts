// The documentation for operators, held against the product: its links, its two languages, and everything that it
// names. That gcloud and kubectl know its commands is looked at in bootstrap-commands.test.ts.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { describeSettings } from '../../src/config/describe.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { fleetFaults, type KnownProgram, readProgram, scriptFaults } from './documents/fleet-commands.ts';
import { unknownMetrics, unknownRoutes, unknownSettings, unknownVariables } from './documents/names.ts';
import { brokenLinks, filesOf, type Page, parsePage, readPage, root } from './documents/page.ts';
import { translationFaults } from './documents/translation.ts';

const folder = 'docs/operate';
const operating = filesOf(`${folder}/**/*.md`).map(readPage);
const pages = [...operating, ...filesOf('deploy/**/*.md').map(readPage)];
const hasFile = (file: string): boolean => existsSync(path.join(root, file));

/** Which pages there are, so that none goes without anybody's noticing. */
const names = [
  ...['README.md', 'start.md', 'local.md', 'scale.md', 'upgrade.md'],
  ...['backup.md', 'security.md', 'troubleshooting.md', 'limits.md', 'hybrid.md'],
];
const runbooks = { english: `${folder}/runbooks.md`, portuguese: `${folder}/pt/runbooks.md` };

const read = (file: string): Page | 'other' | null => {
  if (!hasFile(file)) return null;
  return file.endsWith('.md') ? readPage(file) : 'other';
};
const page = (text: string, file = `${folder}/en/start.md`): Page => parsePage(file, text);
const shell = (line: string): Page => page(`\`\`\`bash\n${line}\n\`\`\`\n`);

describe('links of the documentation for operators', () => {
  it('lead to files and headings that there are', () => {
    assert.deepEqual(
      pages.flatMap((each) => brokenLinks(each, read)),
      [],
    );
  });

  it('are found broken: a page that is not there, a heading that was renamed, one of the page itself', () => {
    const planted = page(
      '# A `b` title\n[a](scala.md) [b](upgrade.md#drainig) [c](#a-b-title) [d](#nowhere) `[e](f.md)`',
    );
    assert.deepEqual(brokenLinks(planted, read), [
      `${folder}/en/start.md: scala.md: there is no such file`,
      `${folder}/en/start.md: upgrade.md#drainig: ${folder}/en/upgrade.md has no such heading`,
      `${folder}/en/start.md: #nowhere: ${folder}/en/start.md has no such heading`,
    ]);
    assert.deepEqual(brokenLinks(page('# Instalação\n## É só isso?\n[a](#instalação) [b](#é-só-isso)'), read), []);
  });
});

describe('the two languages', () => {
  it('have the same pages', () => {
    const missing = (has: (file: string) => boolean): string[] =>
      ['en', 'pt'].flatMap((language) =>
        names.map((name) => `${folder}/${language}/${name}`).filter((file) => !has(file)),
      );
    assert.deepEqual(missing(hasFile), []);
    const lost = `${folder}/pt/scale.md`;
    assert.deepEqual(
      missing((file) => file !== lost && hasFile(file)),
      [lost],
    );
    // The runbooks in English are where they have always been: alerts name that address.
    const known = new Set([...names, path.posix.basename(runbooks.portuguese)]);
    assert.deepEqual(
      filesOf(`${folder}/{en,pt}/*.md`).filter((file) => !known.has(path.posix.basename(file))),
      [],
    );
  });

  it('say the same: headings, code, names of things', () => {
    const pairs = names.map((name): [string, string] => [`${folder}/en/${name}`, `${folder}/pt/${name}`]);
    const faults = [...pairs, [runbooks.english, runbooks.portuguese] as const]
      .filter((pair) => pair.every(hasFile))
      .flatMap(([english, portuguese]) => translationFaults(readPage(english), readPage(portuguese)));
    assert.deepEqual(faults, []);
  });

  it('are found apart: another flag, a heading or a name that was left out, no way across', () => {
    const english = page('# A\n[P](../pt/start.md)\n## B\n`x.y`\n```bash\nkubectl get pods   # all\n```\n');
    const faults = (text: string): string[] =>
      translationFaults(english, page(text, `${folder}/pt/start.md`)).map((fault) => fault.replace(/^\S+ /, ''));
    const same = '# C\n[E](../en/start.md)\n## D\n`x.y`\n```bash\nkubectl get pods   # todos\n```\n';
    assert.deepEqual(faults(same), []);
    assert.deepEqual(faults(same.replace('pods', 'nodes')), ['block 1 differs from the English one: kubectl get pods']);
    assert.deepEqual(faults(same.replace('## D\n', '')), ['levels of headings 1, in English 1 2']);
    assert.deepEqual(faults(same.replace('`x.y`', '`x.z`')), ['names: lacks x.y', 'names: alone has x.z']);
    assert.deepEqual(faults(same.replace('../en/', '../pt/')), ['the first link is not ../en/start.md']);
    assert.deepEqual(faults(same.replace(/```[\s\S]*/, '')), ['0 blocks of code, in English 1']);
  });
});

describe('what the documentation tells to run', () => {
  let program: KnownProgram = new Map();
  before(async () => {
    program = await readProgram();
  });

  it('are commands and flags of codex-fleet that there are', () => {
    assert.ok(program.size > 20);
    assert.deepEqual(
      pages.flatMap((each) => fleetFaults(each, program)),
      [],
    );
  });

  it('are found wrong: a command, a flag, a word too many or too few, behind kubectl exec as well', () => {
    const faults = (line: string): string[] =>
      fleetFaults(shell(line), program).map((fault) => fault.replace(/^\S+ /, ''));
    assert.deepEqual(faults('codex-fleet deploy apply gke-prod'), ['there is no codex-fleet deploy apply gke-prod']);
    assert.deepEqual(faults('bin/codex-fleet cost gke-prod --turn 5'), [
      'codex-fleet cost gke-prod --turn 5: there is no --turn',
      'codex-fleet cost gke-prod --turn 5: it takes 1 to 1 words, not 2',
    ]);
    assert.deepEqual(faults('codex-fleet deploy render | kubectl apply -f -'), [
      'codex-fleet deploy render: it takes 1 to 1 words, not 0',
    ]);
    assert.deepEqual(faults('kubectl exec deployment/a -- codex-fleet docter'), ['there is no codex-fleet docter']);
    assert.deepEqual(faults('A=b codex-fleet cost gke-prod --turns 5 --json'), []);
    const named = (code: string): number => fleetFaults(page(`Run \`${code}\`.`), program).length;
    assert.deepEqual(['codex-fleet deploy', 'codex-fleet cost', 'codex-fleet deploy push'].map(named), [0, 0, 1]);
  });

  it('are scripts with flags that they take, and files that there are', () => {
    assert.deepEqual(
      operating.flatMap((each) => scriptFaults(each, hasFile)),
      [],
    );
  });

  it('are found wrong: a flag of another script, a file that was moved', () => {
    const faults = (line: string): string[] =>
      scriptFaults(shell(line), hasFile).map((fault) => fault.replace(/^\S+ /, ''));
    assert.deepEqual(faults('deploy/bootstrap/bootstrap.sh --project p --delete-data'), [
      'deploy/bootstrap/bootstrap.sh has no --delete-data',
    ]);
    assert.deepEqual(faults('deploy/bootstrap/teardown.sh --project=p --delete-data'), []);
    assert.deepEqual(faults('kubectl apply --kustomize=deploy/overlays/gke-pord'), [
      'there is no deploy/overlays/gke-pord',
    ]);
  });
});

describe('what the documentation names', () => {
  const settings = describeSettings();
  const metrics = new Set(
    createMetrics()
      .describe()
      .map(({ name }) => name),
  );
  const { paths } = JSON.parse(readFileSync(path.join(root, 'openapi.json'), 'utf8')) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  };
  const routes = new Map(Object.entries(paths).map(([route, methods]) => [route, new Set(Object.keys(methods))]));

  it('are variables and settings that there are', () => {
    assert.deepEqual(
      pages.flatMap((each) => [...unknownVariables(each, settings), ...unknownSettings(each, settings)]),
      [],
    );
  });

  it('are metrics that there are', () => {
    assert.deepEqual(
      pages.flatMap((each) => unknownMetrics(each, metrics)),
      [],
    );
  });

  it('are routes that there are', () => {
    assert.deepEqual(
      operating.flatMap((each) => unknownRoutes(each, routes)),
      [],
    );
  });

  it('are found wrong: a variable, a setting, a metric, a route', () => {
    const planted = page(
      'CODEX_FLEET_SLOTS CODEX_FLEET_SLOT `worker.slots` `worker.slot` `fleet.toml` `google.env` codex_fleet_slots ' +
        'codex_fleet_queue_wait_seconds_bucket codex_fleet_queues `POST /api/v1/workers/ID/drain` ' +
        '`POST /api/v1/workers` `GET /livez`',
    );
    const at = `${folder}/en/start.md: there is no`;
    assert.deepEqual(unknownVariables(planted, settings), [`${at} CODEX_FLEET_SLOT`]);
    assert.deepEqual(unknownSettings(planted, settings), [`${at} setting worker.slot`]);
    assert.deepEqual(unknownMetrics(planted, metrics), [`${at} codex_fleet_queues`]);
    assert.deepEqual(unknownRoutes(planted, routes), [`${at} POST /api/v1/workers`]);
  });
});
