// Whether one pod may open a connection to another, or to an address, by the NetworkPolicies of a rendering:
// as Kubernetes decides it. A direction that no policy speaks of is open.

import { BlockList, isIPv4 } from 'node:net';
import { field, listAt, numberAt, ofKind, textAt, workloads } from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import { selects } from './selectors.ts';

export type Direction = 'Ingress' | 'Egress';

/** A pod of ours, one of another namespace, or an address outside. */
export type Peer =
  | { readonly workload: Workload }
  | { readonly namespace: string; readonly podLabels: Readonly<Record<string, string>> }
  | { readonly address: string };

export function policiesOf(rendered: Rendered, workload: Workload, direction: Direction): KubeObject[] {
  return ofKind(rendered, 'NetworkPolicy').filter(
    (policy) =>
      listAt(policy, 'spec', 'policyTypes').includes(direction) &&
      selects(field(policy, 'spec', 'podSelector'), workload.podLabels),
  );
}

/** The rules that let something through, of every policy that selects the pod. */
export function rulesOf(rendered: Rendered, workload: Workload, direction: Direction): unknown[] {
  const key = direction === 'Ingress' ? 'ingress' : 'egress';
  return policiesOf(rendered, workload, direction).flatMap((policy) => listAt(policy, 'spec', key));
}

export function isAllowed(
  rendered: Rendered,
  workload: Workload,
  direction: Direction,
  peer: Peer,
  port: number,
  protocol: 'TCP' | 'UDP' = 'TCP',
): boolean {
  if (policiesOf(rendered, workload, direction).length === 0) return true;
  // A port by name is one of the pod that is called.
  const called = direction === 'Ingress' ? workload : 'workload' in peer ? peer.workload : null;
  return rulesOf(rendered, workload, direction).some((rule) => {
    const ports = listAt(rule, 'ports');
    const peers = listAt(rule, direction === 'Ingress' ? 'from' : 'to');
    return (
      (ports.length === 0 || ports.some((each) => fitsPort(each, port, protocol, called))) &&
      (peers.length === 0 || peers.some((each) => fitsPeer(each, peer)))
    );
  });
}

/** From one workload to another: both ends have to agree. */
export function canCall(rendered: Rendered, from: string, to: string, port: number): boolean {
  const [source, target] = [from, to].map((name) => workloads(rendered).find((workload) => workload.name === name));
  if (source === undefined || target === undefined) return false;
  return (
    isAllowed(rendered, source, 'Egress', { workload: target }, port) &&
    isAllowed(rendered, target, 'Ingress', { workload: source }, port)
  );
}

function fitsPort(given: unknown, port: number, protocol: string, called: Workload | null): boolean {
  if ((textAt(given, 'protocol') ?? 'TCP') !== protocol) return false;
  const wanted = field(given, 'port');
  if (wanted === undefined) return true;
  if (typeof wanted === 'string') return portNumber(called, wanted) === port;
  const last = numberAt(given, 'endPort') ?? wanted;
  return port >= Number(wanted) && port <= Number(last);
}

function portNumber(workload: Workload | null, name: string): number | null {
  const ports = (workload?.pod.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports.find((port) => port.name === name)?.containerPort ?? null;
}

function fitsPeer(given: unknown, peer: Peer): boolean {
  const block = field(given, 'ipBlock');
  if (block !== undefined) return 'address' in peer && isInBlock(block, peer.address);
  if ('address' in peer) return false;
  const [namespaces, pods] = [field(given, 'namespaceSelector'), field(given, 'podSelector')];
  const labels = 'workload' in peer ? peer.workload.podLabels : peer.podLabels;
  const namespace = 'workload' in peer ? 'codex' : peer.namespace;
  const inNamespace =
    namespaces === undefined ? 'workload' in peer : selects(namespaces, { 'kubernetes.io/metadata.name': namespace });
  return inNamespace && (pods === undefined || selects(pods, labels));
}

export function isInBlock(block: unknown, address: string): boolean {
  const excepted = listAt(block, 'except').some((range) => contains(String(range), address));
  return contains(textAt(block, 'cidr') ?? '', address) && !excepted;
}

function contains(range: string, address: string): boolean {
  const [network = '', prefix = ''] = range.split('/');
  if (isIPv4(network) !== isIPv4(address) || prefix === '') return false;
  const list = new BlockList();
  const family = isIPv4(network) ? 'ipv4' : 'ipv6';
  list.addSubnet(network, Number(prefix), family);
  return list.check(address, family);
}
