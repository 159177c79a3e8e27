import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Kubectl, type KubectlAnswer, KubectlMissing } from '../../deploy/kubectl.ts';
import { createFakeCli } from '../../testing/fake-cli-context.ts';
import { runCli } from '../program.ts';

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

const overlay = `apiVersion: v1
kind: ConfigMap
metadata: { name: codex-config, namespace: codex }
data: { CODEX_FLEET_STORAGE: google }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: codex-gateway, namespace: codex }
spec:
  replicas: 2
  template:
    spec:
      containers: [{ name: gateway, image: "codex-fleet@sha256:abc", resources: { requests: { cpu: 1, memory: 2Gi } } }]
`;

const answer = (stdout: string): KubectlAnswer => ({ code: 0, stdout, stderr: '' });

async function run(kubectl: Kubectl, ...args: string[]): Promise<Ran> {
  const cli = createFakeCli({ kubectl });
  const code = await runCli(cli.context, args);
  return { code, stdout: cli.stdout(), stderr: cli.stderr() };
}

test('deploy render prints the overlay as it was rendered', async () => {
  const ran = await run(async () => answer(overlay), 'deploy', 'render', 'gke-prod');
  assert.deepEqual(ran, { code: 0, stdout: overlay, stderr: '' });
});

test('an overlay that is not filled in is not printed, unless that is asked for', async () => {
  const unset = overlay
    .replace('sha256:abc', `sha256:${'0'.repeat(64)}`)
    .replace('codex-fleet@', 'PROJECT_ID/codex-fleet@');
  const refused = await run(async () => answer(unset), 'deploy', 'render', 'gke-prod');
  assert.deepEqual([refused.code, refused.stdout], [2, '']);
  assert.match(refused.stderr, /PROJECT_ID[\s\S]*digests of the images/);
  assert.equal((await run(async () => answer(unset), 'deploy', 'render', 'gke-prod', '--allow-unset')).stdout, unset);
});

test('an overlay that does not exist, or that kubectl cannot render, is said; without kubectl, where to get it', async () => {
  const unknown = await run(async () => answer(''), 'deploy', 'render', 'gke-pord');
  assert.deepEqual([unknown.code, unknown.stdout], [2, '']);
  assert.match(unknown.stderr, /there is no overlay gke-pord: there are gke-dev, gke-prod, local/);
  const failed = await run(async () => ({ code: 1, stdout: '', stderr: 'no such file' }), 'deploy', 'render', 'local');
  assert.deepEqual([failed.code, /no such file/.test(failed.stderr)], [2, true]);
  const missing = await run(() => Promise.reject(new KubectlMissing(null)), 'deploy', 'render', 'local');
  assert.deepEqual([missing.code, /kubectl is not on the PATH/.test(missing.stderr)], [5, true]);
});

test('deploy status leaves with 0 when all is as it should be, with 1 when not, with 5 when nobody answers', async () => {
  const status = (ready: number): Kubectl => {
    const spec = {
      replicas: 2,
      template: { spec: { containers: [{ name: 'gateway', image: 'codex-fleet@sha256:abc' }] } },
    };
    const metadata = { name: 'codex-gateway', namespace: 'codex' };
    const items = [{ kind: 'Deployment', metadata, spec, status: { readyReplicas: ready, updatedReplicas: 2 } }];
    return async ([verb]) => answer(verb === 'kustomize' ? overlay : JSON.stringify({ items }));
  };
  const well = await run(status(2), 'deploy', 'status', 'gke-prod');
  assert.equal(well.code, 0);
  assert.match(well.stdout, /codex-gateway +2\/2 +2\/2 +as it should be/);
  const ill = await run(status(1), 'deploy', 'status', 'gke-prod', '--json');
  assert.equal(ill.code, 1);
  assert.equal((JSON.parse(ill.stdout) as { ok: boolean }).ok, false);
  const gone: Kubectl = async ([verb]) =>
    verb === 'kustomize' ? answer(overlay) : { code: 1, stdout: '', stderr: 'refused' };
  assert.equal((await run(gone, 'deploy', 'status', 'gke-prod')).code, 5);
});

test('cost prints what each part costs, and the tokens beside the sum', async () => {
  const { code, stdout } = await run(async () => answer(overlay), 'cost', 'gke-prod', '--turns', '1000');
  assert.equal(code, 0);
  assert.match(stdout, /codex-gateway +\$79\.34 +\$79\.34 +2 × 1 vCPU, 2 GiB/);
  assert.match(stdout, /Together[\s\S]*Model tokens +\$800\.00/);
  assert.match(stdout, /list prices as read until \d{4}-\d\d-\d\d/);
});

test('cost refuses what is no number, and more cached tokens than there are', async () => {
  const kubectl: Kubectl = async () => answer(overlay);
  for (const wrong of ['many', '-1', '', 'NaN']) {
    const { code, stderr, stdout } = await run(kubectl, 'cost', 'gke-prod', '--input-price', wrong);
    assert.deepEqual([code, stdout, /--input-price takes a number/.test(stderr)], [2, '', true], wrong);
  }
  const { code, stderr } = await run(kubectl, 'cost', 'gke-prod', '--input-tokens', '10', '--cached-tokens', '11');
  assert.deepEqual([code, /cannot be cached/.test(stderr)], [2, true]);
});
