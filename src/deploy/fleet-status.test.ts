import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterUnreachable, fleetStatus } from './fleet-status.ts';
import type { KubectlAnswer } from './kubectl.ts';
import { type Manifest, parseManifests } from './manifest.ts';

const image = 'registry.example/codex/codex-fleet@sha256:abc';
const overlay = parseManifests(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: codex-gateway, namespace: codex }
spec:
  template: { spec: { containers: [{ name: gateway, image: "${image}" }] } }
`);

type Live = { readonly spec?: object; readonly status?: object; readonly image?: string };

const live = ({ image: runs = image, spec, status }: Live): object => ({
  kind: 'Deployment',
  metadata: { name: 'codex-gateway', namespace: 'codex', generation: 3 },
  spec: { replicas: 3, template: { spec: { containers: [{ name: 'gateway', image: runs }] } }, ...spec },
  status: { observedGeneration: 3, readyReplicas: 3, updatedReplicas: 3, ...status },
});

async function problemOf(items: readonly object[], manifests: readonly Manifest[] = overlay): Promise<string | null> {
  const kubectl = async (): Promise<KubectlAnswer> => ({ code: 0, stdout: JSON.stringify({ items }), stderr: '' });
  const [status, ...more] = await fleetStatus({ kubectl, manifests, context: null });
  assert.deepEqual(more, []);
  return status?.problem ?? null;
}

test('a workload is as it should be when all its pods are of the wanted revision and ready', async () => {
  assert.equal(await problemOf([live({})]), null);
  assert.equal(
    await problemOf([live({ spec: { replicas: 2 }, status: { readyReplicas: 2, updatedReplicas: 2 } })]),
    null,
  );
});

test('what is missing, old, unready, stuck or not yet seen is said', async () => {
  const stuck = { type: 'Progressing', status: 'False', message: 'deadline exceeded' };
  const cases: [RegExp, object[]][] = [
    [/not in the cluster/, []],
    [/not in the cluster/, [{ ...live({}), kind: 'StatefulSet' }]],
    [/other images: gateway registry/, [live({ image: 'registry.example/codex/codex-fleet@sha256:old' })]],
    [/has not been taken up/, [live({ status: { observedGeneration: 2 } })]],
    [/1 pods are of an earlier revision/, [live({ status: { updatedReplicas: 2 } })]],
    [/2 pods are not ready/, [live({ status: { readyReplicas: 1 } })]],
    [/3 pods are not ready/, [live({ status: { readyReplicas: undefined } })]],
    [/deadline exceeded/, [live({ status: { conditions: [stuck] } })]],
  ];
  for (const [expected, items] of cases) assert.match((await problemOf(items)) ?? 'nothing', expected);
});

test('a cluster is asked in the context given, for the namespaces of the overlay alone', async () => {
  const asked: string[][] = [];
  await fleetStatus({
    kubectl: async (args) => {
      asked.push([...args]);
      return { code: 0, stdout: '{"items":[]}', stderr: '' };
    },
    manifests: overlay,
    context: 'gke_p_r_codex',
  });
  assert.deepEqual(asked.length, 1);
  assert.deepEqual(asked[0]?.slice(0, 3), ['--context', 'gke_p_r_codex', 'get']);
  assert.ok(asked[0]?.join(' ').includes('--namespace codex '));
});

test('a cluster that does not answer is told from one that is not well', async () => {
  const kubectl = async (): Promise<KubectlAnswer> => ({ code: 1, stdout: '', stderr: 'connection refused\n' });
  await assert.rejects(fleetStatus({ kubectl, manifests: overlay, context: null }), (error) => {
    assert.ok(error instanceof ClusterUnreachable);
    assert.match(error.message, /connection refused$/);
    return true;
  });
});
