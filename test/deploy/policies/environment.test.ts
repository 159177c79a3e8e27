// That a container's environment and files are put together as the kubelet does it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startedWith, type StartedWith } from './environment.ts';
import { type KubeObject, type Rendered, workloads } from './objects.ts';

const config: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'config' },
  data: { A: 'a', B: 'b', 'c.toml': 'c = 1' },
};
const secret: KubeObject = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'secret' },
  data: { key: Buffer.from('kept').toString('base64') },
};

function started(container: object, volumes: readonly object[] = []): StartedWith {
  const pod = { containers: [{ name: 'one', ...container }], volumes };
  const deployment: KubeObject = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'one' },
    spec: { template: { metadata: { labels: { app: 'one' } }, spec: pod } },
  };
  const rendered: Rendered = { name: 'one', isCloud: false, addOns: [], objects: [config, secret, deployment] };
  const [workload] = workloads(rendered);
  const [first] = workload?.pod.containers ?? [];
  assert.ok(workload !== undefined && first !== undefined);
  return startedWith(rendered, workload, first);
}

test('what a container says itself goes before what it takes from a config map', () => {
  const { env, missing } = started({
    envFrom: [{ configMapRef: { name: 'config' } }],
    env: [{ name: 'B', value: 'own' }],
  });
  assert.deepEqual([env['A'], env['B'], missing], ['a', 'own', []]);
});

test('variables are put into those after them, and an escaped one is left', () => {
  const { env } = started({
    env: [
      { name: 'HOST', value: 'h' },
      { name: 'URL', value: 'http://$(HOST):1/$$(HOST)/$(NONE)' },
    ],
  });
  assert.equal(env['URL'], 'http://h:1/$(HOST)/$(NONE)');
});

test('secrets come decoded, fields and labels of the pod by their paths', () => {
  const { env } = started({
    env: [
      { name: 'KEY', valueFrom: { secretKeyRef: { name: 'secret', key: 'key' } } },
      { name: 'APP', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
    ],
  });
  assert.deepEqual(env, { KEY: 'kept', APP: 'one' });
});

test('what is missing is named, unless it is optional', () => {
  const { missing } = started({
    env: [
      { name: 'X', valueFrom: { configMapKeyRef: { name: 'config', key: 'X' } } },
      { name: 'Y', valueFrom: { secretKeyRef: { name: 'nobody', key: 'y' } } },
      { name: 'Z', valueFrom: { secretKeyRef: { name: 'nobody', key: 'z', optional: true } } },
    ],
  });
  assert.deepEqual(missing, [
    'the key X of ConfigMap config; it has A, B, c.toml',
    'Secret nobody, which nothing makes',
  ]);
});

test('files are where volumes are mounted, under the names that their items give', () => {
  const { files } = started(
    {
      volumeMounts: [
        { name: 'all', mountPath: '/all' },
        { name: 'some', mountPath: '/some' },
        { name: 'all', mountPath: '/etc/c.toml', subPath: 'c.toml' },
      ],
    },
    [
      { name: 'all', configMap: { name: 'config' } },
      { name: 'some', projected: { sources: [{ secret: { name: 'secret', items: [{ key: 'key', path: 'k' }] } }] } },
    ],
  );
  assert.deepEqual(Object.fromEntries(files), {
    '/all/A': 'a',
    '/all/B': 'b',
    '/all/c.toml': 'c = 1',
    '/some/k': 'kept',
    '/etc/c.toml': 'c = 1',
  });
});
