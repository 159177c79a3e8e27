// The way in: load balancer, routes, backends, and the policies that are attached to them.

import { field, labelsAt, listAt, named, ofKind, problem, textAt } from './objects.ts';
import type { KubeObject } from './objects.ts';
import type { Policy } from './policy.ts';
import { declaredPorts, hasPort, podsOfService } from './references.ts';

const attachedKinds = [
  'GCPBackendPolicy',
  'HealthCheckPolicy',
  'GCPGatewayPolicy',
  'GCPSessionAffinityPolicy',
  'GCPTrafficDistributionPolicy',
];

function targets(policy: KubeObject): readonly unknown[] {
  const single = field(policy, 'spec', 'targetRef');
  return single === undefined ? listAt(policy, 'spec', 'targetRefs') : [single];
}

function backends(route: KubeObject): unknown[] {
  return listAt(route, 'spec', 'rules').flatMap((rule) => listAt(rule, 'backendRefs'));
}

export const edgePolicy: Policy = {
  name: 'edge',
  promise: 'routes lead to backends that are there, each with its time-out and its health check, over TLS',
  rules: [
    {
      name: 'policy-target',
      check: (rendered) =>
        ofKind(rendered, ...attachedKinds).flatMap((policy) =>
          targets(policy)
            .filter((target) => named(rendered, textAt(target, 'kind') ?? '', textAt(target, 'name') ?? '') === null)
            .map((target) => problem(policy, 'spec.targetRef', target, 'an object of this overlay')),
        ),
    },
    {
      name: 'one-policy-each',
      check: (rendered) =>
        ofKind(rendered, ...attachedKinds).flatMap((policy, index, all) =>
          targets(policy)
            .filter((target) =>
              all
                .slice(0, index)
                .some(
                  (other) =>
                    other.kind === policy.kind &&
                    targets(other).some((each) => JSON.stringify(each) === JSON.stringify(target)),
                ),
            )
            .map((target) =>
              problem(policy, 'spec.targetRef', target, `another ${policy.kind} is attached to it; only one counts`),
            ),
        ),
    },
    {
      name: 'backend-has-policies',
      check: (rendered) =>
        ofKind(rendered, 'HTTPRoute').flatMap((route) =>
          backends(route).flatMap((backend) => {
            const name = textAt(backend, 'name');
            return ['GCPBackendPolicy', 'HealthCheckPolicy']
              .filter(
                (kind) =>
                  !ofKind(rendered, kind).some((policy) =>
                    targets(policy).some((target) => textAt(target, 'name') === name),
                  ),
              )
              .map((kind) =>
                problem(route, 'backendRefs', name, `a ${kind} for it: without one, 30 s and a check of /`),
              );
          }),
        ),
    },
    {
      name: 'health-check-fits',
      check: (rendered) =>
        ofKind(rendered, 'HealthCheckPolicy').flatMap((policy) => {
          const check = field(policy, 'spec', 'default', 'config', 'httpHealthCheck');
          const service = named(rendered, 'Service', textAt(targets(policy)[0], 'name') ?? '');
          const path = textAt(check, 'requestPath');
          const port = field(check, 'port');
          const pods = service === null ? [] : podsOfService(rendered, service);
          return [
            ...(path === '/readyz/gateway'
              ? []
              : [
                  problem(
                    policy,
                    'httpHealthCheck.requestPath',
                    path,
                    '/readyz/gateway: who drains gets no more, and a missing worker takes no gateway out',
                  ),
                ]),
            ...pods
              .filter((workload) => port !== undefined && !hasPort(workload, port))
              .map((workload) => problem(policy, 'httpHealthCheck.port', port, `one of ${declaredPorts(workload)}`)),
          ];
        }),
    },
    {
      name: 'route-backend',
      check: (rendered) =>
        ofKind(rendered, 'HTTPRoute').flatMap((route) =>
          backends(route).flatMap((backend) => {
            const [name, port] = [textAt(backend, 'name') ?? '', field(backend, 'port')];
            const service = named(rendered, 'Service', name);
            const ports = listAt(service, 'spec', 'ports').map((each) => field(each, 'port'));
            return ports.includes(port)
              ? []
              : [
                  problem(
                    route,
                    'backendRefs',
                    `${name}:${String(port)}`,
                    'a Service of this overlay and a port of it',
                  ),
                ];
          }),
        ),
    },
    {
      name: 'route-parent',
      check: (rendered) =>
        ofKind(rendered, 'HTTPRoute').flatMap((route) => {
          const parents = listAt(route, 'spec', 'parentRefs');
          if (parents.length === 0) return [problem(route, 'spec.parentRefs', undefined, 'a Gateway of this overlay')];
          return parents
            .filter((parent) => {
              const gateway = named(rendered, 'Gateway', textAt(parent, 'name') ?? '');
              const section = textAt(parent, 'sectionName');
              const listeners = listAt(gateway, 'spec', 'listeners').map((listener) => textAt(listener, 'name'));
              return gateway === null || (section !== null && !listeners.includes(section));
            })
            .map((parent) =>
              problem(route, 'spec.parentRefs', parent, 'a Gateway of this overlay and a listener of it'),
            );
        }),
    },
    {
      name: 'plain-http-only-redirects',
      check: (rendered) =>
        ofKind(rendered, 'Gateway').flatMap((gateway) =>
          listAt(gateway, 'spec', 'listeners')
            .filter((listener) => textAt(listener, 'protocol') === 'HTTP')
            .flatMap((listener) =>
              ofKind(rendered, 'HTTPRoute').filter(
                (route) =>
                  backends(route).length > 0 &&
                  listAt(route, 'spec', 'parentRefs').some(
                    (parent) =>
                      textAt(parent, 'name') === gateway.metadata.name &&
                      [null, textAt(listener, 'name')].includes(textAt(parent, 'sectionName')),
                  ),
              ),
            )
            .map((route) =>
              problem(route, 'spec.parentRefs', field(route, 'spec', 'parentRefs'), 'HTTPS: tokens go over it'),
            ),
        ),
    },
    {
      name: 'certificate',
      check: (rendered) =>
        ofKind(rendered, 'Gateway').flatMap((gateway) => {
          const map = labelsAt(gateway, 'metadata', 'annotations')['networking.gke.io/certmap'];
          const isHttps = listAt(gateway, 'spec', 'listeners').some(
            (listener) => textAt(listener, 'protocol') === 'HTTPS',
          );
          return isHttps && map === 'codex-certmap'
            ? []
            : [
                problem(
                  gateway,
                  'annotation networking.gke.io/certmap',
                  map,
                  'codex-certmap, and a listener for HTTPS',
                ),
              ];
        }),
    },
  ],
};
