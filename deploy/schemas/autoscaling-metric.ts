// AutoscalingMetric of GKE, 1.35.1 and newer: metrics that a HorizontalPodAutoscaler may go by, as
// `autoscaling.gke.io|OBJECT|METRIC`. Queries (`promql`) need 1.37.
// https://docs.cloud.google.com/kubernetes-engine/docs/how-to/autoscale-using-metrics

import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';
import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';

type Gauge = {
  readonly name: string;
  /** As /metrics has it; `name` when it is not said. */
  readonly prometheusMetricName?: string;
  readonly loadBalancing?: { readonly enabled: boolean };
};

type PodSource = {
  readonly pod: {
    readonly selector: ILabelSelector;
    readonly containers: readonly {
      readonly container?: string;
      readonly endpoint: { readonly port: number | string; readonly path?: string };
      readonly metrics: readonly { readonly gauge: Gauge }[];
    }[];
  };
  readonly promql?: never;
};

type QuerySource = {
  readonly promql: { readonly name: string; readonly query: string };
  readonly pod?: never;
};

export type AutoscalingMetric = {
  readonly apiVersion: 'autoscaling.gke.io/v1beta1';
  readonly kind: 'AutoscalingMetric';
  readonly metadata: IObjectMeta;
  readonly spec: { readonly metrics: readonly (PodSource | QuerySource)[] };
};
