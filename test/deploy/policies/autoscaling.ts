// Autoscalers: what they scale, by how much, and the metrics that they go by.

import { field, listAt, named, ofKind, problem, textAt } from './objects.ts';
import type { KubeObject } from './objects.ts';
import type { Policy } from './policy.ts';
import { declaredPorts, hasPort } from './references.ts';
import { selectedWorkloads } from './selectors.ts';

const adapterPrefix = 'autoscaling.gke.io';

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

export const autoscalingPolicy: Policy = {
  name: 'autoscaling',
  promise: 'autoscalers scale what is there, by metrics that are there',
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
  ],
};
