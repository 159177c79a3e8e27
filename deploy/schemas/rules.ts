// Rules, ClusterRules and GlobalRules of Managed Service for Prometheus: recorded series and alerts. An entry
// is one or the other; annotations are for alerts alone.
// https://github.com/GoogleCloudPlatform/prometheus-engine/blob/main/doc/api.md

import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';

type Texts = Readonly<Record<string, string>>;

type Recording = {
  readonly record: string;
  readonly expr: string;
  readonly labels?: Texts;
  readonly alert?: never;
};

type Alerting = {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Texts;
  readonly annotations?: Texts;
  readonly record?: never;
};

type Spec = {
  readonly groups: readonly {
    readonly name: string;
    readonly interval?: string;
    readonly rules: readonly (Recording | Alerting)[];
  }[];
};

type Of<Kind extends string> = {
  readonly apiVersion: 'monitoring.googleapis.com/v1';
  readonly kind: Kind;
  readonly metadata: IObjectMeta;
  readonly spec: Spec;
};

export type Rules = Of<'Rules'>;
export type ClusterRules = Of<'ClusterRules'>;
export type GlobalRules = Of<'GlobalRules'>;

/** The same for clusters with the Prometheus operator, which knows a few fields more. */
export type PrometheusRule = {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'PrometheusRule';
  readonly metadata: IObjectMeta;
  readonly spec: {
    readonly groups: readonly {
      readonly name: string;
      readonly interval?: string;
      readonly limit?: number;
      readonly rules: readonly (Recording | (Alerting & { readonly keep_firing_for?: string }))[];
    }[];
  };
};
