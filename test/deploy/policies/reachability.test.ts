// That connections are judged as Kubernetes judges them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, type Labels, type Rendered, type Workload, workloads } from './objects.ts';
import { canCall, isAllowed } from './reachability.ts';

function pods(name: string, port: number): KubeObject {
  const containers = [{ name, ports: [{ name: 'http', containerPort: port }] }];
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'codex' },
    spec: { template: { metadata: { labels: { app: name } }, spec: { containers } } },
  };
}

function policy(app: Labels, spec: object): KubeObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p' },
    spec: { podSelector: { matchLabels: app }, ...spec },
  };
}

function with_(...policies: readonly KubeObject[]): Rendered {
  return { name: 'one', isCloud: false, addOns: [], objects: [pods('a', 1000), pods('b', 2000), ...policies] };
}

function pod(rendered: Rendered, name: string): Workload {
  return workloads(rendered).find((workload) => workload.name === name) ?? assert.fail(`there is ${name}`);
}

const closed = policy({}, { policyTypes: ['Ingress', 'Egress'] });
const outOfA = policy(
  { app: 'a' },
  {
    policyTypes: ['Egress'],
    egress: [{ to: [{ podSelector: { matchLabels: { app: 'b' } } }], ports: [{ port: 'http' }] }],
  },
);
const intoB = policy(
  { app: 'b' },
  {
    policyTypes: ['Ingress'],
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'a' } } }], ports: [{ port: 2000 }] }],
  },
);

test('without a policy everything is open, and one policy closes what it speaks of', () => {
  assert.equal(canCall(with_(), 'a', 'b', 2000), true);
  assert.equal(canCall(with_(closed), 'a', 'b', 2000), false);
});

test('both ends have to agree, and policies add up; a port by name is one of the pod that is called', () => {
  assert.equal(canCall(with_(closed, outOfA), 'a', 'b', 2000), false);
  assert.equal(canCall(with_(closed, intoB), 'a', 'b', 2000), false);
  assert.equal(canCall(with_(closed, outOfA, intoB), 'a', 'b', 2000), true);
  assert.equal(canCall(with_(closed, outOfA, intoB), 'a', 'b', 1000), false);
  assert.equal(canCall(with_(closed, outOfA, intoB), 'b', 'a', 1000), false);
});

test('a pod selector alone is of this namespace, and with a namespace selector of those that it names', () => {
  const here = with_(policy({ app: 'b' }, { policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: {} }] }] }));
  assert.equal(isAllowed(here, pod(here, 'b'), 'Ingress', { namespace: 'other', podLabels: {} }, 2000), false);
  const there = with_(
    policy(
      { app: 'b' },
      {
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'other' } } }] }],
      },
    ),
  );
  assert.equal(isAllowed(there, pod(there, 'b'), 'Ingress', { namespace: 'other', podLabels: {} }, 2000), true);
  assert.equal(canCall(there, 'a', 'b', 2000), false);
});

test('addresses are those of a block without its exceptions, on the ports of its rule', () => {
  const block = { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.0.0/16'] };
  const rendered = with_(
    policy(
      { app: 'a' },
      { policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: block }], ports: [{ port: 440, endPort: 443 }] }] },
    ),
  );
  const reaches = (address: string, port: number): boolean =>
    isAllowed(rendered, pod(rendered, 'a'), 'Egress', { address }, port);
  assert.deepEqual(
    [
      reaches('8.8.8.8', 443),
      reaches('8.8.8.8', 444),
      reaches('10.1.2.3', 443),
      reaches('169.254.169.254', 443),
      reaches('2001:db8::1', 443),
    ],
    [true, false, false, false, false],
  );
});
