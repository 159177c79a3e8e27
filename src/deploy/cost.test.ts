import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Assumptions, type Cost, costOf, usualAssumptions } from './cost.ts';
import { type Manifest, parseManifests } from './manifest.ts';

const onGoogle = `
apiVersion: v1
kind: ConfigMap
metadata: { name: codex-config }
data: { CODEX_FLEET_STORAGE: google }
`;

const workload = (name: string, replicas: number, requests: string): string => `
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name} }
spec:
  replicas: ${replicas}
  template:
    spec:
      containers: [{ name: main, resources: { requests: ${requests} } }]
`;

const scaler = (name: string, least: number, most: number): string => `
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: ${name} }
spec: { scaleTargetRef: { kind: Deployment, name: ${name} }, minReplicas: ${least}, maxReplicas: ${most} }
`;

const nothing: Assumptions = {
  ...usualAssumptions,
  turnsPerMonth: 0,
  storedGiB: 0,
  balancedGiB: 0,
  natGiB: 0,
  logsGiB: 0,
};

function parsed(...texts: string[]): Manifest[] {
  return parseManifests(texts.join(''));
}

function cents(cost: Cost, what: string): readonly [least: number, most: number] | null {
  const row = cost.rows.find((each) => each.what === what);
  return row === undefined ? null : [Math.round(row.least * 100), Math.round(row.most * 100)];
}

test('a pod of one core and 2 GiB costs $39.67 a month, and as many as there are cost as many times that', () => {
  const worker = workload('codex-pool', 5, '{ cpu: 1, memory: 2Gi }');
  assert.deepEqual(cents(costOf(parsed(onGoogle, worker), nothing), 'codex-pool'), [19_836, 19_836]);
  const one = costOf(parsed(onGoogle, workload('codex-pool', 1, '{ cpu: 1000m, memory: 2048Mi }')), nothing);
  assert.deepEqual(cents(one, 'codex-pool'), [3_967, 3_967]);
});

test('an autoscaler decides how few and how many pods are paid, whatever the workload says', () => {
  const manifests = parsed(onGoogle, workload('a', 7, '{ cpu: 1, memory: 2Gi }'), scaler('a', 2, 10));
  assert.deepEqual(cents(costOf(manifests, nothing), 'a'), [7_934, 39_672]);
});

test('what an overlay does not have is not paid', () => {
  const bare = costOf(parsed(onGoogle, workload('codex-redis', 1, '{ cpu: 1, memory: 1Gi }')), nothing);
  for (const what of ['Load balancer', 'Memorystore for Valkey', 'Managed Prometheus']) {
    assert.equal(cents(bare, what), null, what);
  }
  const gateway = '\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: codex-gateway }\n';
  const scraped = '\n---\napiVersion: monitoring.googleapis.com/v1\nkind: PodMonitoring\nmetadata: { name: codex }\n';
  const whole = costOf(parsed(onGoogle, workload('a', 10, '{ cpu: 1, memory: 1Gi }'), gateway, scraped), nothing);
  assert.deepEqual(cents(whole, 'Load balancer'), [1_825, 1_825]);
  assert.deepEqual(cents(whole, 'Managed Prometheus'), [1_577, 1_577]);
  assert.deepEqual(cents(whole, 'Memorystore for Valkey'), [26_718, 26_718]);
});

test('disks are paid by their size and kind, and once for each pod that claims one', () => {
  const claim = (size: string, storageClass: string): string => `
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: codex-pool }
spec:
  replicas: 5
  template: { spec: { containers: [] } }
  volumeClaimTemplates: [{ spec: { storageClassName: ${storageClass}, resources: { requests: { storage: ${size} } } } }]
`;
  const disks = (size: string, storageClass: string) =>
    cents(costOf(parsed(onGoogle, claim(size, storageClass)), nothing), 'Disks of codex-pool');
  assert.deepEqual(disks('10Gi', 'standard-rwo'), [500, 500]);
  assert.deepEqual(disks('10Gi', 'premium-rwo'), [850, 850]);
  const ephemeral = `
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: codex-pool }
spec:
  replicas: 2
  template:
    spec:
      containers: []
      volumes:
        - emptyDir: {}
        - ephemeral: { volumeClaimTemplate: { spec: { resources: { requests: { storage: 20Gi } } } } }
`;
  assert.deepEqual(cents(costOf(parsed(onGoogle, ephemeral), nothing), 'Disks of codex-pool'), [400, 400]);
});

test('tokens are a line of their own, by what was assumed', () => {
  const assumed: Assumptions = {
    ...nothing,
    turnsPerMonth: 1_000,
    inputPrice: 10,
    cachedInputPrice: 1,
    outputPrice: 40,
  };
  const { least, tokens } = costOf(parsed(onGoogle), {
    ...assumed,
    ...{ inputTokensPerTurn: 100_000, cachedInputTokensPerTurn: 50_000, outputTokensPerTurn: 1_000 },
  });
  assert.equal(Math.round(tokens.least * 100), Math.round(1_000 * (0.5 + 0.05 + 0.04) * 100));
  assert.equal(
    Math.round(least * 100),
    Math.round(costOf(parsed(onGoogle), { ...nothing, turnsPerMonth: 1_000 }).least * 100),
  );
});

test('a cluster that is not at Google has no rows of Google', () => {
  const elsewhere = costOf(parsed(workload('a', 3, '{ cpu: 1, memory: 2Gi }')), usualAssumptions);
  assert.deepEqual([elsewhere.rows, elsewhere.least], [[], 0]);
  assert.ok(elsewhere.tokens.least > 0);
});

test('the sum is that of the rows', () => {
  const { least, most, rows } = costOf(parsed(onGoogle, workload('a', 3, '{ cpu: 1, memory: 2Gi }')), usualAssumptions);
  assert.ok(rows.length > 5);
  const sum = rows.reduce((total, row) => total + row.least, 0);
  assert.deepEqual([least, most], [sum, sum]);
});
