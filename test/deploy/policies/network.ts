// Who may talk to whom: nothing by default, what the fleet needs, and never what would let model-written code
// out of its worker.

import { field, listAt, nameOf, ofKind, problem, serving, textAt, workloads } from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import type { Policy } from './policy.ts';
import { canCall, isAllowed, isInBlock, policiesOf, rulesOf } from './reachability.ts';
import { declaredPorts, hasPort } from './references.ts';
import { selectedWorkloads } from './selectors.ts';

/** What the fleet does not work without. */
const needed: readonly (readonly [from: string, to: string, port: number])[] = [
  ['codex-gateway', 'codex-pool', 7000],
  ['codex-session-manager', 'codex-pool', 7000],
  ['codex-pool', 'codex-session-manager', 7201],
  ['codex-pool', 'codex-model-proxy', 7100],
  ['codex-pool', 'codex-model-proxy', 7101],
  ['codex-gateway', 'codex-model-proxy', 7101],
];
const redisUsers = ['codex-gateway', 'codex-pool', 'codex-session-manager', 'codex-model-proxy'];

/** What must never be possible, from whatever a worker runs or to whatever holds a key. */
const refused: readonly (readonly [from: string, to: string, port: number])[] = [
  ['codex-pool', 'codex-pool', 7000],
  ['codex-pool', 'codex-gateway', 8080],
  ['codex-pool', 'codex-session-manager', 7200],
  ['codex-gateway', 'codex-model-proxy', 7100],
  ['codex-redis', 'codex-pool', 7000],
  ['codex-model-proxy', 'codex-pool', 7000],
];

/** Addresses that a worker must not reach, on any port but that of DNS. */
const closedToWorkers: readonly (readonly [address: string, what: string])[] = [
  ['169.254.169.254', 'the metadata server'],
  ['169.254.169.252', "GKE's metadata server"],
  ['8.8.8.8', 'the internet'],
  ['151.101.1.69', 'the internet'],
  ['199.36.153.8', 'the APIs of Google'],
  ['2001:4860:4860::8888', 'the internet'],
];
const triedPorts = [22, 80, 443, 988, 6379, 7000, 8080, 10_250];

function peersOf(policy: KubeObject): unknown[] {
  const rules = [...listAt(policy, 'spec', 'ingress'), ...listAt(policy, 'spec', 'egress')];
  return rules.flatMap((rule) => [...listAt(rule, 'from'), ...listAt(rule, 'to')]);
}

function workersOf(rendered: Rendered): Workload[] {
  return workloads(rendered).filter(({ component }) => component === 'worker');
}

/** Where a worker may go, in words; for peers that are no workload of ours, null. */
function ownPeers(rendered: Rendered, peer: unknown): Workload[] | null {
  if (field(peer, 'ipBlock') !== undefined || field(peer, 'namespaceSelector') !== undefined) return null;
  return selectedWorkloads(rendered, field(peer, 'podSelector'));
}

export const networkPolicy: Policy = {
  name: 'network',
  promise: 'nothing talks to anything but as the fleet needs, and workers reach neither internet nor metadata',
  rules: [
    {
      name: 'default-deny',
      check: (rendered) => {
        const policy = ofKind(rendered, 'NetworkPolicy').find(({ metadata }) => metadata.name === 'default-deny');
        if (policy === undefined) return ['NetworkPolicy default-deny is missing'];
        const types = listAt(policy, 'spec', 'policyTypes');
        const isWhole =
          JSON.stringify(field(policy, 'spec', 'podSelector')) === '{}' &&
          types.includes('Ingress') &&
          types.includes('Egress') &&
          listAt(policy, 'spec', 'ingress').length === 0 &&
          listAt(policy, 'spec', 'egress').length === 0;
        return isWhole ? [] : [problem(policy, 'spec', policy['spec'], 'every pod, Ingress and Egress, and no rule')];
      },
    },
    {
      name: 'each-workload-covered',
      check: (rendered) =>
        serving(rendered).flatMap((workload) =>
          (['Ingress', 'Egress'] as const)
            .filter(
              (direction) =>
                !policiesOf(rendered, workload, direction).some(({ metadata }) => metadata.name === workload.name),
            )
            .map(
              (direction) => `${nameOf(workload.object)}: no NetworkPolicy ${workload.name} speaks of its ${direction}`,
            ),
        ),
    },
    {
      name: 'types-said',
      check: (rendered) =>
        ofKind(rendered, 'NetworkPolicy').flatMap((policy) =>
          (['Ingress', 'Egress'] as const)
            .filter(
              (type) =>
                field(policy, 'spec', type.toLowerCase()) !== undefined &&
                !listAt(policy, 'spec', 'policyTypes').includes(type),
            )
            .map((type) =>
              problem(
                policy,
                'spec.policyTypes',
                field(policy, 'spec', 'policyTypes'),
                `${type} too: its rules count only then`,
              ),
            ),
        ),
    },
    {
      name: 'selects-pods',
      check: (rendered) =>
        ofKind(rendered, 'NetworkPolicy', 'FQDNNetworkPolicy').flatMap((policy) => {
          const own = field(policy, 'spec', 'podSelector');
          const others = peersOf(policy).filter((peer) => ownPeers(rendered, peer)?.length === 0);
          return [
            ...(selectedWorkloads(rendered, own).length === 0
              ? [problem(policy, 'spec.podSelector', own, 'pods of this overlay')]
              : []),
            ...others.map((peer) => problem(policy, 'peer', peer, 'pods of this overlay')),
          ];
        }),
    },
    {
      name: 'ports-exist',
      check: (rendered) =>
        ofKind(rendered, 'NetworkPolicy').flatMap((policy) => {
          const own = selectedWorkloads(rendered, field(policy, 'spec', 'podSelector'));
          return (['ingress', 'egress'] as const).flatMap((key) =>
            listAt(policy, 'spec', key).flatMap((rule) => {
              const called =
                key === 'ingress' ? own : listAt(rule, 'to').flatMap((peer) => ownPeers(rendered, peer) ?? []);
              if (called.length === 0) return [];
              return listAt(rule, 'ports')
                .map((port) => field(port, 'port'))
                .filter((port) => !called.some((workload) => hasPort(workload, port)))
                .map((port) =>
                  problem(policy, `spec.${key}: port`, port, `one of ${called.map(declaredPorts).join(', ')}`),
                );
            }),
          );
        }),
    },
    {
      name: 'needed-is-open',
      check: (rendered) => {
        const hasRedis = workloads(rendered).some(({ name }) => name === 'codex-redis');
        const redis = hasRedis ? redisUsers.map((name) => [name, 'codex-redis', 6379] as const) : [];
        return [...needed, ...redis]
          .filter(([from, to, port]) => !canCall(rendered, from, to, port))
          .map(
            ([from, to, port]) => `NetworkPolicies: ${from} cannot call ${to}:${port}; the fleet does not work without`,
          );
      },
    },
    {
      name: 'names-are-resolved',
      check: (rendered) => {
        const dns = { namespace: 'kube-system', podLabels: { 'k8s-app': 'kube-dns' } };
        return workloads(rendered)
          .filter(({ name }) => redisUsers.includes(name))
          .flatMap((workload) =>
            (['UDP', 'TCP'] as const)
              .filter((protocol) => !isAllowed(rendered, workload, 'Egress', dns, 53, protocol))
              .map((protocol) => `${nameOf(workload.object)}: it may not ask the cluster's DNS over ${protocol}`),
          );
      },
    },
    {
      name: 'refused-is-closed',
      check: (rendered) =>
        refused
          .filter(([from, to, port]) => canCall(rendered, from, to, port))
          .map(([from, to, port]) => `NetworkPolicies: ${from} can call ${to}:${port}; it must not`),
    },
    {
      name: 'worker-goes-nowhere-else',
      check: (rendered) =>
        workersOf(rendered).flatMap((workload) =>
          closedToWorkers.flatMap(([address, what]) =>
            triedPorts
              .filter((port) => isAllowed(rendered, workload, 'Egress', { address }, port))
              .map((port) => `${nameOf(workload.object)}: it may reach ${what}, ${address}:${port}; a worker must not`),
          ),
        ),
    },
    {
      name: 'worker-peers-named',
      check: (rendered) =>
        workersOf(rendered).flatMap((workload) =>
          rulesOf(rendered, workload, 'Egress').flatMap((rule) => {
            const isDns =
              listAt(rule, 'ports').length > 0 && listAt(rule, 'ports').every((port) => field(port, 'port') === 53);
            const peers = listAt(rule, 'to');
            if (isDns) return [];
            if (peers.length === 0)
              return [problem(workload.object, 'egress rule', rule, 'whom it reaches has to be said')];
            return peers
              .filter((peer) => !isNarrow(rendered, peer, rule))
              .map((peer) => problem(workload.object, 'egress', peer, 'session managers, the model proxy, Redis, DNS'));
          }),
        ),
    },
    {
      name: 'redis-reached',
      check: (rendered) =>
        workloads(rendered).some(({ name }) => name === 'codex-redis')
          ? []
          : workloads(rendered)
              .filter(({ name }) => redisUsers.includes(name))
              .filter((workload) => !reachesRedisOutside(rendered, workload))
              .map(
                (workload) => `${nameOf(workload.object)}: no rule lets it reach a Redis, in the cluster or outside`,
              ),
    },
    {
      name: 'balancer-comes-in',
      check: (rendered) =>
        ofKind(rendered, 'Gateway').length === 0
          ? []
          : workloads(rendered)
              .filter(({ component }) => component === 'gateway')
              .flatMap((workload) =>
                ['35.191.0.1', '130.211.0.1']
                  .filter((address) => !isAllowed(rendered, workload, 'Ingress', { address }, 8080))
                  .map(
                    (address) =>
                      `${nameOf(workload.object)}: Google's load balancers and health checks (${address}) may not reach port 8080`,
                  ),
              ),
    },
    {
      name: 'redis-only-for-roles',
      check: (rendered) =>
        workloads(rendered)
          .filter(({ name }) => name === 'codex-redis')
          .flatMap((workload) =>
            isAllowed(rendered, workload, 'Ingress', { namespace: 'default', podLabels: {} }, 6379) ||
            isAllowed(rendered, workload, 'Egress', { address: '8.8.8.8' }, 443)
              ? [
                  `${nameOf(workload.object)}: it is open to other namespaces, or to the internet; only the roles may reach it`,
                ]
              : [],
          ),
    },
    {
      name: 'worker-has-no-names',
      check: (rendered) =>
        ofKind(rendered, 'FQDNNetworkPolicy').flatMap((policy) =>
          selectedWorkloads(rendered, field(policy, 'spec', 'podSelector'))
            .filter(({ component }) => component === 'worker')
            .flatMap(() =>
              listAt(policy, 'spec', 'egress')
                .flatMap((rule) => listAt(rule, 'matches'))
                .map((match) => textAt(match, 'name') ?? textAt(match, 'pattern') ?? '')
                .filter((name) => /googleapis|google\.internal|openai\.com|^\*+$/.test(name))
                .map((name) =>
                  problem(policy, 'egress', name, 'a worker reaches neither Google nor the model by itself'),
                ),
            ),
        ),
    },
  ],
};

/** A workload of ours that is named, or the one port of Redis at private addresses. */
function isNarrow(rendered: Rendered, peer: unknown, rule: unknown): boolean {
  const own = ownPeers(rendered, peer);
  if (own !== null)
    return own.every(({ component }) => ['session-manager', 'model-proxy', 'redis'].includes(component));
  const block = field(peer, 'ipBlock');
  const ports = listAt(rule, 'ports').map((port) => field(port, 'port'));
  const isRedis = ports.length > 0 && ports.every((port) => port === 6379 || port === 6378);
  return block !== undefined && isRedis && !isInBlock(block, '8.8.8.8') && !isInBlock(block, '169.254.169.254');
}

function reachesRedisOutside(rendered: Rendered, workload: Workload): boolean {
  return rulesOf(rendered, workload, 'Egress').some(
    (rule) =>
      listAt(rule, 'ports').some((port) => [6379, 6378].includes(Number(field(port, 'port')))) &&
      listAt(rule, 'to').some((peer) => field(peer, 'ipBlock') !== undefined),
  );
}
