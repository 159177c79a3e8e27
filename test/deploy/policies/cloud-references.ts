// References of the kinds around pods: autoscalers and their metrics, routes and their backends, policies and
// what they are attached to, scrapers and the ports they read.

import { contentOf } from './environment.ts';
import { field, labelsAt, listAt, named, nameOf, ofKind, problem, textAt } from './objects.ts';
import type { KubeObject, Rendered } from './objects.ts';
import { outsideSecret } from './outside-secrets.ts';
import type { Policy } from './policy.ts';
import { declaredPorts, hasPort, podsOfService } from './references.ts';
import { selectedWorkloads, selects } from './selectors.ts';

const attachedKinds = [
  'GCPBackendPolicy',
  'HealthCheckPolicy',
  'GCPGatewayPolicy',
  'GCPSessionAffinityPolicy',
  'GCPTrafficDistributionPolicy',
];
const adapterPrefix = 'autoscaling.gke.io';

function targets(policy: KubeObject): readonly unknown[] {
  const single = field(policy, 'spec', 'targetRef');
  return single === undefined ? listAt(policy, 'spec', 'targetRefs') : [single];
}

/** The names of metrics that an AutoscalingMetric offers. */
function offered(metric: KubeObject): string[] {
  return listAt(metric, 'spec', 'metrics').flatMap((each) => [
    ...listAt(each, 'pod', 'containers').flatMap((container) =>
      listAt(container, 'metrics').flatMap(
        (one) => textAt(one, 'gauge', 'name') ?? textAt(one, 'gauge', 'prometheusMetricName') ?? [],
      ),
    ),
    ...(textAt(each, 'promql', 'name') === null ? [] : [textAt(each, 'promql', 'name') ?? '']),
  ]);
}

/** `autoscaling.gke.io|OBJECT|METRIC`, as autoscalers write it. */
function adapterMetrics(autoscaler: KubeObject): (readonly [whole: string, object: string, metric: string])[] {
  return listAt(autoscaler, 'spec', 'metrics')
    .map((metric) => textAt(metric, 'pods', 'metric', 'name') ?? textAt(metric, 'external', 'metric', 'name') ?? '')
    .filter((name) => name.startsWith(`${adapterPrefix}|`))
    .map((name) => [name, name.split('|')[1] ?? '', name.split('|')[2] ?? ''] as const);
}

function backends(route: KubeObject): unknown[] {
  return listAt(route, 'spec', 'rules').flatMap((rule) => listAt(rule, 'backendRefs'));
}

export const cloudReferencesPolicy: Policy = {
  name: 'cloud-references',
  promise: 'autoscalers, routes, attached policies and scrapers name what is there',
  rules: [
    {
      name: 'autoscaler-target',
      check: (rendered) =>
        ofKind(rendered, 'HorizontalPodAutoscaler').flatMap((autoscaler) => {
          const ref = field(autoscaler, 'spec', 'scaleTargetRef');
          const found = named(rendered, textAt(ref, 'kind') ?? '', textAt(ref, 'name') ?? '');
          return found !== null && found.apiVersion === textAt(ref, 'apiVersion')
            ? []
            : [problem(autoscaler, 'spec.scaleTargetRef', ref, 'a workload of this overlay')];
        }),
    },
    {
      name: 'autoscaler-range',
      check: (rendered) =>
        ofKind(rendered, 'HorizontalPodAutoscaler').flatMap((autoscaler) => {
          const [least, most] = [
            Number(field(autoscaler, 'spec', 'minReplicas') ?? 1),
            Number(field(autoscaler, 'spec', 'maxReplicas')),
          ];
          return least < most ? [] : [problem(autoscaler, 'spec.minReplicas', least, `less than maxReplicas, ${most}`)];
        }),
    },
    {
      name: 'autoscaler-metric',
      check: (rendered) =>
        ofKind(rendered, 'HorizontalPodAutoscaler').flatMap((autoscaler) =>
          adapterMetrics(autoscaler).flatMap(([whole, object, metric]) => {
            const source = named(rendered, 'AutoscalingMetric', object);
            const names = source === null ? [] : offered(source);
            return names.includes(metric)
              ? []
              : [
                  problem(
                    autoscaler,
                    'spec.metrics',
                    whole,
                    `${adapterPrefix}|AutoscalingMetric|one of ${names.join(', ') || 'none'}`,
                  ),
                ];
          }),
        ),
    },
    {
      name: 'metric-is-used',
      check: (rendered) => {
        const used = ofKind(rendered, 'HorizontalPodAutoscaler')
          .flatMap(adapterMetrics)
          .map(([, object, metric]) => `${object}|${metric}`);
        return ofKind(rendered, 'AutoscalingMetric').flatMap((source) =>
          offered(source)
            .filter((metric) => !used.includes(`${source.metadata.name}|${metric}`))
            .map((metric) => problem(source, 'spec.metrics', metric, 'a HorizontalPodAutoscaler that goes by it')),
        );
      },
    },
    {
      name: 'metric-source',
      check: (rendered) =>
        ofKind(rendered, 'AutoscalingMetric').flatMap((source) =>
          listAt(source, 'spec', 'metrics').flatMap((metric) => {
            if (field(metric, 'pod') === undefined) return [];
            const selector = field(metric, 'pod', 'selector');
            const found = selectedWorkloads(rendered, selector);
            if (found.length !== 1)
              return [problem(source, 'pod.selector', selector, `it selects ${found.length} workloads, not one`)];
            return listAt(metric, 'pod', 'containers')
              .map((container) => field(container, 'endpoint', 'port'))
              .flatMap((port) =>
                found.flatMap((workload) =>
                  hasPort(workload, port)
                    ? []
                    : [problem(source, 'endpoint.port', port, `one of ${declaredPorts(workload)}`)],
                ),
              );
          }),
        ),
    },
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
            ...(path === '/readyz'
              ? []
              : [problem(policy, 'httpHealthCheck.requestPath', path, '/readyz: who drains gets no more')]),
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
      name: 'scraper',
      check: (rendered) =>
        ofKind(rendered, 'PodMonitoring').flatMap((scraper) => {
          const selector = field(scraper, 'spec', 'selector');
          const found = selectedWorkloads(rendered, selector);
          if (found.length === 0) return [problem(scraper, 'spec.selector', selector, 'pods of this overlay')];
          return listAt(scraper, 'spec', 'endpoints')
            .map((endpoint) => field(endpoint, 'port'))
            .flatMap((port) =>
              found
                .filter((workload) => !hasPort(workload, port))
                .map((workload) =>
                  problem(
                    scraper,
                    'spec.endpoints: port',
                    port,
                    `${nameOf(workload.object)} has ${declaredPorts(workload)}`,
                  ),
                ),
            );
        }),
    },
    {
      name: 'service-scraper',
      check: (rendered) =>
        ofKind(rendered, 'ServiceMonitor').flatMap((scraper) => {
          const selector = field(scraper, 'spec', 'selector');
          const found = ofKind(rendered, 'Service').filter((service) =>
            selects(selector, labelsAt(service, 'metadata', 'labels')),
          );
          if (found.length === 0) return [problem(scraper, 'spec.selector', selector, 'Services of this overlay')];
          return listAt(scraper, 'spec', 'endpoints')
            .map((endpoint) => textAt(endpoint, 'port'))
            .flatMap((port) =>
              found
                .filter((service) => !listAt(service, 'spec', 'ports').some((each) => textAt(each, 'name') === port))
                .map((service) =>
                  problem(scraper, 'spec.endpoints: port', port, `the name of a port of ${nameOf(service)}`),
                ),
            );
        }),
    },
    {
      name: 'scraper-credentials',
      check: (rendered) =>
        ofKind(rendered, 'PodMonitoring', 'ServiceMonitor').flatMap((scraper) =>
          listAt(scraper, 'spec', 'endpoints').flatMap((endpoint) => {
            const credentials = field(endpoint, 'authorization', 'credentials');
            const ref = field(credentials, 'secret') ?? credentials;
            const [name, key] = [textAt(ref, 'name') ?? '', textAt(ref, 'key') ?? ''];
            const own = named(rendered, 'Secret', name);
            const keys = own === null ? Object.keys(outsideSecret(name)?.keys ?? {}) : Object.keys(contentOf(own));
            return keys.includes(key)
              ? []
              : [
                  problem(
                    scraper,
                    'spec.endpoints: authorization',
                    ref,
                    'a Secret and a key of it: /metrics asks for a credential',
                  ),
                ];
          }),
        ),
    },
    {
      name: 'every-role-is-scraped',
      check: (rendered) => {
        const scrapers = ofKind(rendered, 'PodMonitoring');
        if (scrapers.length === 0) return [];
        const scraped = scrapers.flatMap((scraper) => selectedWorkloads(rendered, field(scraper, 'spec', 'selector')));
        return ['codex-gateway', 'codex-pool', 'codex-session-manager', 'codex-model-proxy']
          .filter((name) => !scraped.some((workload) => workload.name === name))
          .map((name) => `${name}: no PodMonitoring selects its pods`);
      },
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
