// Each gcloud and kubectl command of scripts and documents is one that the tools know: by what the installed tools
// say, or by what was written down of them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { faultsOfCommand, type NewerFlag } from './commands/check-command.ts';
import { askGcloud, askKubectl, readKnown } from './commands/known-commands.ts';
import newerFlags from './commands/newer-flags.json' with { type: 'json' };
import { retired } from './commands/retired.ts';
import { missingKubectl } from './render.ts';
import { findCommands, findInMarkdown } from './commands/shell-commands.ts';
import { shippedFiles, usedCommands } from './commands/used-commands.ts';

const newer: readonly NewerFlag[] = newerFlags;
const known = readKnown();
const used = usedCommands();
const missingGcloud =
  'needs gcloud with its table of commands (https://cloud.google.com/sdk/docs/install; Google’s packages, not Debian’s)';

function faults(line: string, flags = newer): string[] {
  return findCommands(line, 'here').flatMap(({ words }) => faultsOfCommand(words, known, flags));
}

function faultsOfAll(tools: typeof known): string[] {
  return used.flatMap(({ words, where }) =>
    faultsOfCommand(words, tools, newer).map((fault) => `${where}: ${words.join(' ')}: ${fault}`),
  );
}

describe('commands of scripts and documents', () => {
  it('are known to the tools, with every flag, by what was written down of them', () => {
    assert.ok(used.length > 200);
    assert.deepEqual(faultsOfAll(known), []);
  });

  it('are known to the installed gcloud, and what was written down of it holds', (test) => {
    const gcloud = askGcloud(used.flatMap(({ words }) => (words[0] === 'gcloud' ? [words.slice(1)] : [])));
    if (gcloud === null) return test.skip(missingGcloud);
    assert.deepEqual(
      faultsOfAll({ ...known, gcloud: { ...gcloud, nodes: { ...known.gcloud.nodes, ...gcloud.nodes } } }),
      [],
    );
    if (gcloud.version !== known.gcloud.version) return;
    for (const [path, node] of Object.entries(gcloud.nodes)) {
      assert.deepEqual(node, known.gcloud.nodes[path], `gcloud ${path}: run node tools/generate-known-commands.ts`);
    }
  });

  it('are known to the installed kubectl', (test) => {
    const kubectl = askKubectl(used.flatMap(({ words }) => (words[0] === 'kubectl' ? [words.slice(1)] : [])));
    if (kubectl === null) return test.skip(missingKubectl);
    assert.deepEqual(faultsOfAll({ ...known, kubectl }), []);
  });

  it('would be refused with a wrong flag, a wrong command, a mistyped group, a wrong value', () => {
    const planted: readonly [string, RegExp][] = [
      ['gcloud storage buckets create gs://b --location=x --uniform-bucket-acess', /no flag --uniform-bucket-acess/],
      ['gcloud firestore databses create --database=codex', /there is no gcloud firestore databses/],
      ['gcloud container clusters make codex', /there is no gcloud container clusters make/],
      [
        'gclud container clusters list; gcloud compute adresses create x --global',
        /there is no gcloud compute adresses/,
      ],
      ['gcloud memorystore instances create codex --mode=cluster-less', /--mode takes one of .*, not cluster-less/],
      ['gcloud pubsub topics create codex --no-labels', /no flag --no-labels/],
      [
        'gcloud container clusters create-auto codex --enable-private-nodes=sure',
        /--enable-private-nodes takes no value/,
      ],
      ['gcloud compute addresses describe codex-ip --format', /--format wants a value/],
      ['kubectl create secret generic x --from-files=a', /no flag --from-files/],
      ['kubectl creat namespace codex', /there is no kubectl creat/],
      ['if true; then x=$(gcloud secrets versions acess latest); fi', /there is no gcloud secrets versions acess/],
      ['openssl rand 1 | gcloud secrets versions add x --datafile=-', /no flag --datafile/],
      ['kubectl --namespaces codex rollout status deployment/x', /no flag --namespaces|there is no kubectl/],
    ];
    for (const [line, says] of planted) assert.match(faults(line).join('\n'), says, line);
    assert.deepEqual(faults('kubectl -n codex rollout status deployment/x --timeout 5m'), []);
  });

  it('take a newer flag from the list of those alone', () => {
    const line = 'gcloud container clusters create-auto codex --enable-something-new';
    assert.match(faults(line).join(), /no flag --enable-something-new/);
    const listed: NewerFlag = {
      command: 'gcloud container clusters create-auto',
      flag: '--enable-something-new',
      takes: 'bool',
      since: '999.0.0',
      source: 'https://example.com',
    };
    assert.deepEqual(faults(line, [listed]), []);
    for (const { command, flag, since, source } of newer) {
      assert.ok(
        used.some(({ words }) => words.join(' ').startsWith(command) && words.join(' ').includes(flag)),
        `${flag} is used by nothing`,
      );
      assert.match(since, /^\d+\.\d+\.\d+$/);
      assert.match(source, /^https:/);
    }
  });

  it('are found in fenced blocks, over lines, in pipelines and substitutions, and nowhere else', () => {
    const text = [
      'gcloud a b',
      '```bash',
      '# gcloud c',
      'gcloud d \\',
      '  --e="f g" # h',
      'x | kubectl i -f - <<EOF',
      'gcloud j',
      'EOF',
      'y=$(gcloud k) && gcloud l >m 2>&1',
      '```',
      '```json',
      'gcloud n',
      '```',
    ].join('\n');
    const found = findInMarkdown(text, 'here').map(({ words }) => words.join(' '));
    assert.deepEqual(found, ['gcloud d --e=f g', 'kubectl i -f -', 'gcloud l', 'gcloud k']);
  });
});

describe('retired products', () => {
  const faultsIn = (text: string): string[] =>
    retired.filter(({ pattern }) => pattern.test(text)).map(({ what }) => what);

  it('are in nothing that is shipped', () => {
    const files = shippedFiles();
    assert.ok(files.length > 10);
    assert.deepEqual(
      files.flatMap(({ file, text }) => faultsIn(text).map((what) => `${file}: ${what}`)),
      [],
    );
  });

  it('would be found', () => {
    assert.deepEqual(faultsIn('image: gcr.io/my-project/codex:latest'), ['Container Registry']);
    assert.deepEqual(faultsIn('name: gcr.io/cloud-builders/docker'), []);
    assert.deepEqual(faultsIn('apiVersion: x\nkind: ManagedCertificate\n'), ['the ManagedCertificate of GKE Ingress']);
    assert.match(
      faults('gcloud services enable containerregistry.googleapis.com').join(),
      /Container Registry is retired \(2025-03-18\)/,
    );
    assert.match(faults('gsutil cp a gs://b').join(), /gsutil is retired/);
    assert.match(faults('gcloud source repos create x').join(), /Cloud Source Repositories is retired/);
  });

  it('include a preview of what is generally available', () => {
    const stable = { ...known.gcloud.nodes['pubsub topics create'] } as (typeof known.gcloud.nodes)[string];
    const nodes = {
      ...known.gcloud.nodes,
      '': { flags: {}, commands: [...(known.gcloud.nodes['']?.commands ?? []), 'beta'] },
      beta: { flags: {}, commands: ['pubsub'] },
      'beta pubsub': { flags: {}, commands: ['topics'] },
      'beta pubsub topics': { flags: {}, commands: ['create'] },
      'beta pubsub topics create': stable,
    };
    const tools = { ...known, gcloud: { ...known.gcloud, nodes } };
    const check = (line: string): string[] =>
      findCommands(line, 'here').flatMap(({ words }) => faultsOfCommand(words, tools, []));
    assert.deepEqual(check('gcloud beta pubsub topics create x'), [
      'gcloud pubsub topics create is generally available: no beta',
    ]);
    assert.deepEqual(faults('gcloud beta services identity create --service=pubsub.googleapis.com'), []);
  });
});
