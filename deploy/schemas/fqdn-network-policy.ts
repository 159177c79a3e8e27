// FQDNNetworkPolicy of GKE with Dataplane V2: names outside of the cluster that pods may reach, beside what
// NetworkPolicies allow.
// https://docs.cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies

import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';
import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';

type Match =
  | { readonly name: string; readonly pattern?: never }
  /** With `*` for parts of one label. */
  | { readonly pattern: string; readonly name?: never };

export type FQDNNetworkPolicy = {
  readonly apiVersion: 'networking.gke.io/v1alpha1';
  readonly kind: 'FQDNNetworkPolicy';
  readonly metadata: IObjectMeta;
  readonly spec: {
    readonly podSelector: ILabelSelector;
    readonly egress: readonly {
      readonly matches: readonly Match[];
      readonly ports?: readonly { readonly protocol?: 'TCP' | 'UDP' | 'ALL'; readonly port?: number }[];
    }[];
  };
};
