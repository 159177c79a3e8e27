// That the bootstrap script makes what the overlays for Google Kubernetes Engine name, and gives workers nothing.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { bootstrapProblems } from './policies/bootstrap.ts';
import type { Rendered } from './policies/objects.ts';
import { isKubectlInstalled, missingKubectl, overlayNames, renderOverlay } from './render.ts';

const skip = isKubectlInstalled() ? false : missingKubectl;
const file = path.resolve(import.meta.dirname, '..', '..', 'deploy', 'bootstrap', 'bootstrap.sh');
const script = readFileSync(file, 'utf8');
const names = overlayNames().filter((name) => name.startsWith('gke-'));

/** What must be noticed when a script is spoilt so. */
const spoilt: readonly (readonly [what: string, change: (text: string) => string, says: string])[] = [
  [
    'a binding for workers',
    (text) => text.replaceAll('/sa/codex-gateway"', '/sa/codex-pool"'),
    'gives workers an identity',
  ],
  ['no binding for gateways', (text) => text.replaceAll('/sa/codex-gateway"', '/sa/codex-gateways"'), 'binds no role'],
  [
    'a secret less',
    (text) => text.replaceAll('create secret generic codex-tokens', 'create secret generic codex-token'),
    'Secret codex-tokens',
  ],
  ['a key of a secret less', (text) => text.replaceAll('=cluster-secret=', '=secret='), 'gives it no cluster-secret'],
  [
    'another address',
    (text) => text.replaceAll('addresses create codex-ip', 'addresses create codex'),
    'needs codex-ip',
  ],
  [
    'another certificate map',
    (text) => text.replaceAll('maps create codex-certmap', 'maps create certs'),
    'needs codex-certmap',
  ],
  [
    'another topic',
    (text) => text.replaceAll('topics create codex-jobs-dead', 'topics create dead'),
    'needs codex-jobs-dead',
  ],
  [
    'another bucket',
    (text) => text.replaceAll('-codex-snapshots"', '-snapshots"'),
    'needs gs://$PROJECT-codex-snapshots',
  ],
  [
    'a short time to acknowledge',
    (text) => text.replaceAll('--ack-deadline=60', '--ack-deadline=10'),
    'gives 10 s to acknowledge',
  ],
  [
    'a retired product',
    (text) => `${text}\ngcloud services enable containerregistry.googleapis.com\n`,
    'artifactregistry',
  ],
];

describe('the bootstrap script', { skip }, () => {
  const renderings = new Map<string, Rendered>();

  before(async () => {
    for (const each of await Promise.all(names.map(renderOverlay))) renderings.set(each.name, each);
  });

  for (const name of names) {
    test(`makes what ${name} names outside of the cluster, and gives workers no identity`, () => {
      const problems = bootstrapProblems(script, renderings.get(name) ?? assert.fail(`${name} was rendered`));
      assert.ok(problems.length === 0, `${problems.length} problems:\n  ${problems.join('\n  ')}\n`);
    });
  }

  for (const [what, change, says] of spoilt) {
    test(`with ${what} is refused`, () => {
      const problems = bootstrapProblems(change(script), renderings.get('gke-prod') ?? assert.fail('it was rendered'));
      assert.ok(
        problems.some((words) => words.includes(says)),
        `it should say ${says}; it said: ${problems.join('\n')}`,
      );
    });
  }
});
