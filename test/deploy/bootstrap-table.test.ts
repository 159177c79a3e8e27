// The table of resources: whatever a row uses is in a row above it, under every profile.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Command, Profile, Resource } from '../../deploy/bootstrap/resource.ts';
import { resources } from '../../deploy/bootstrap/resources.ts';

const root = path.dirname(path.dirname(import.meta.dirname));

/** What the options of the script say. */
const options = ['PROJECT', 'REGION', 'DOMAIN', 'DNS_ZONE', 'FIRESTORE_LOCATION', 'SOFT_DELETE', 'DEPLOY', 'WORK'];
const fromScript = [...options, 'KUBECONFIG'];

function commandsOf({ look, make, update = [], ready, reads = [], removal }: Resource): Command[] {
  const looking =
    look === null ? [] : 'has' in look ? [look.has] : 'shows' in look ? [look.shows, look.lines] : [look.same];
  const removing = 'by' in removal ? removal.by : [];
  return [
    ...looking,
    ...make,
    ...update,
    ...removing,
    ...reads.map(({ command }) => command),
    ...(ready === undefined ? [] : [ready.shows]),
  ];
}

function namesIn(words: Command): string[] {
  return words.flatMap((word) => [...word.matchAll(/\{([a-z][A-Za-z0-9-]*)\}/g)].map(([, name = '']) => name));
}

function variablesIn(words: Command): string[] {
  return words.flatMap((word) => [...word.matchAll(/\$([A-Z][A-Z_]*)/g)].map(([, name = '']) => name));
}

/** What is wrong with a table, in sentences. */
function faultsOf(table: readonly Resource[], profile: Profile, withZone: boolean): string[] {
  const rows = table.filter(
    ({ profiles, when }) => (profiles?.includes(profile) ?? true) && (when === undefined || withZone),
  );
  const above = new Map<string, Resource>();
  const read = new Set(fromScript);
  const faults: string[] = [];
  for (const row of rows) {
    const { name, needs, api, reads = [] } = row;
    if (above.has(name)) faults.push(`${name} is there twice`);
    for (const need of needs) if (!above.has(need)) faults.push(`${name} needs ${need}, which is not made before it`);
    const reachable = new Set<string>();
    const reach = (each: string): void => {
      if (reachable.has(each)) return;
      reachable.add(each);
      for (const need of above.get(each)?.needs ?? []) reach(need);
    };
    for (const need of needs) reach(need);
    const words = [...commandsOf(row), [row.id]];
    for (const used of new Set(words.flatMap(namesIn))) {
      if (used === name) continue;
      if (!above.has(used)) faults.push(`${name} uses ${used}, which is not made before it`);
      else if (!reachable.has(used)) faults.push(`${name} uses ${used}, and does not say that it needs it`);
    }
    const own = new Set(reads.map(({ into }) => into));
    for (const used of new Set(words.flatMap(variablesIn))) {
      if (!read.has(used) && !own.has(used)) faults.push(`${name} uses $${used}, which nothing before it has read`);
    }
    const enabled = [...above.values()]
      .filter(({ kind }) => kind === 'services of the project')
      .flatMap(({ id }) => id.split(' '));
    if (api !== null && !enabled.includes(api))
      faults.push(`${name} needs the service ${api}, which is not enabled before it`);
    for (const variable of own) read.add(variable);
    above.set(name, row);
  }
  return faults;
}

/** Words that say the name of a resource itself: nobody would see that they need it. */
function literalsOf(table: readonly Resource[]): string[] {
  // Where a thing gets its name, and where Kubernetes and IAM name what the overlay makes.
  const allowed =
    /principal:\/\/|^redis:|^\{ printf|^codex-(nodes|build)$|^--(display-name|description|collection-group)=/;
  return table.flatMap((row) =>
    commandsOf(row)
      .flat()
      .filter((word) => /\bcodex\b/i.test(word) && !allowed.test(word) && !word.includes('|'))
      .map((word) => `${row.name}: ${word}`),
  );
}

const variants = (['dev', 'prod'] as const).flatMap((profile) => [true, false].map((zone) => ({ profile, zone })));

function place(table: readonly Resource[], name: string): number {
  const at = table.findIndex((row) => row.name === name);
  assert.notEqual(at, -1);
  return at;
}

describe('the table of resources', () => {
  for (const { profile, zone } of variants) {
    it(`makes each thing before what uses it (${profile}${zone ? ', with a zone of Cloud DNS' : ''})`, () => {
      assert.deepEqual(faultsOf(resources, profile, zone), []);
    });
  }

  it('would be refused with two rows swapped', () => {
    for (const [one, other] of [
      ['network', 'subnet'],
      ['dead-topic', 'jobs'],
      ['redis', 'redis-here'],
      ['project', 'nodes-report'],
      ['services', 'cluster'],
    ] as const) {
      const [first, second] = [place(resources, one), place(resources, other)];
      const swapped = resources.map((row, at) =>
        at === first ? resources[second] : at === second ? resources[first] : row,
      ) as readonly Resource[];
      assert.match(
        faultsOf(swapped, 'prod', false).join('\n'),
        new RegExp(`uses ${one}|needs ${one}|the service`),
        `${one} after ${other}`,
      );
    }
  });

  it('would be refused with a need unsaid, or a variable that nothing reads', () => {
    const unsaid = resources.map((row) => (row.name === 'subnet' ? { ...row, needs: ['services'] } : row));
    assert.match(faultsOf(unsaid, 'prod', false).join('\n'), /subnet uses network, and does not say that it needs it/);
    const unread = resources.map((row) => (row.name === 'project' ? { ...row, reads: [] } : row));
    assert.match(faultsOf(unread, 'prod', false).join('\n'), /uses \$PROJECT_NUMBER, which nothing before it has read/);
    const disabled = resources.filter(({ name }) => name !== 'services-prod');
    assert.match(faultsOf(disabled, 'prod', false).join('\n'), /needs the service memorystore/);
  });

  it('names other resources by reference alone', () => {
    assert.deepEqual(literalsOf(resources), []);
    const literal = resources.map((row) =>
      row.name === 'subnet' ? { ...row, make: [['gcloud', 'x', '--network=codex']] } : row,
    );
    assert.deepEqual(literalsOf(literal), ['subnet: --network=codex']);
  });

  it('has one row for each index, exemption and time to live of the file of indexes', () => {
    const file = JSON.parse(readFileSync(path.join(root, 'deploy/firestore/firestore.indexes.json'), 'utf8')) as {
      readonly indexes: readonly object[];
      readonly fieldOverrides: readonly { readonly ttl?: boolean }[];
    };
    const count = (kind: string): number => resources.filter((row) => row.kind === kind).length;
    assert.equal(count('composite index'), file.indexes.length);
    assert.equal(count('field without an index'), file.fieldOverrides.length);
    assert.equal(count('time to live'), file.fieldOverrides.filter(({ ttl }) => ttl === true).length);
  });

  it('grants each role of the fleet what docs/google.md says, workers nothing', () => {
    const grants = resources.flatMap(({ kind, make }) => (kind === 'IAM binding' ? make : []));
    const of = (account: string): string[] =>
      grants
        .filter((command) => command.some((word) => word.endsWith(`/sa/${account}`)))
        .map((command) => command.find((word) => word.startsWith('--role='))?.slice('--role=roles/'.length) ?? '')
        .toSorted((a, b) => a.localeCompare(b));
    assert.deepEqual(of('codex-gateway'), ['datastore.user', 'storage.objectUser']);
    assert.deepEqual(of('codex-session-manager'), [
      'datastore.user',
      'pubsub.publisher',
      'pubsub.publisher',
      'pubsub.subscriber',
      'pubsub.viewer',
      'storage.objectUser',
    ]);
    assert.deepEqual(of('codex-model-proxy'), ['secretmanager.secretAccessor']);
    assert.deepEqual(of('codex-pool'), []);
    // On a whole project: what can only be granted there.
    const wide = grants
      .filter((command) => command[1] === 'projects')
      .map((command) => command.find((word) => word.startsWith('--role=')));
    assert.deepEqual(
      [...new Set(wide)].toSorted((a, b) => (a ?? '').localeCompare(b ?? '')),
      [
        '--role=roles/container.defaultNodeServiceAccount',
        '--role=roles/datastore.user',
        '--role=roles/logging.logWriter',
      ],
    );
  });

  it('keeps data unless it is told otherwise', () => {
    const data = resources.filter(({ removal }) => 'data' in removal).map(({ name }) => name);
    assert.deepEqual(data, [
      'cluster-secret',
      'tokens',
      'metrics-token',
      'redis-url',
      'model-key',
      'records',
      'snapshots',
    ]);
  });

  it('tells the overlay the range in which Valkey has its addresses', () => {
    const range = resources
      .find(({ name }) => name === 'redis-subnet')
      ?.make[0]?.find((word) => word.startsWith('--range='));
    const end = readFileSync(path.join(root, 'deploy/bootstrap/parts/bootstrap-end.sh'), 'utf8');
    assert.match(end, new RegExp(`^REDIS_RANGE=${range?.slice('--range='.length)}$`, 'm'));
  });
});
