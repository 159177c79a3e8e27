// PodMonitoring and ClusterPodMonitoring of Managed Service for Prometheus: which pods are read, and how.
// https://github.com/GoogleCloudPlatform/prometheus-engine/blob/main/doc/api.md

import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';
import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';

type SecretKey = { readonly secret?: { readonly name: string; readonly key: string; readonly namespace?: string } };

type Relabeling = {
  readonly sourceLabels?: readonly string[];
  readonly separator?: string;
  readonly targetLabel?: string;
  readonly regex?: string;
  readonly modulus?: number;
  readonly replacement?: string;
  readonly action?:
    | 'replace'
    | 'lowercase'
    | 'uppercase'
    | 'keep'
    | 'drop'
    | 'keepequal'
    | 'dropequal'
    | 'hashmod'
    | 'labeldrop'
    | 'labelkeep';
};

type ScrapeEndpoint = {
  readonly port: number | string;
  readonly scheme?: 'http' | 'https';
  readonly path?: string;
  readonly params?: Readonly<Record<string, readonly string[]>>;
  readonly interval: string;
  readonly timeout?: string;
  readonly metricRelabeling?: readonly Relabeling[];
  readonly authorization?: { readonly type?: string; readonly credentials?: SecretKey };
  readonly basicAuth?: { readonly username?: string; readonly password?: SecretKey };
  readonly tls?: {
    readonly ca?: SecretKey;
    readonly cert?: SecretKey;
    readonly key?: SecretKey;
    readonly serverName?: string;
    readonly insecureSkipVerify?: boolean;
    readonly minVersion?: 'TLS10' | 'TLS11' | 'TLS12' | 'TLS13';
    readonly maxVersion?: 'TLS10' | 'TLS11' | 'TLS12' | 'TLS13';
  };
  readonly proxyUrl?: string;
};

type Metadata = 'container' | 'node' | 'pod' | 'top_level_controller_name' | 'top_level_controller_type';

type Spec<M extends string> = {
  readonly selector: ILabelSelector;
  readonly endpoints: readonly ScrapeEndpoint[];
  readonly targetLabels?: {
    readonly metadata?: readonly M[];
    readonly fromPod?: readonly { readonly from: string; readonly to?: string }[];
  };
  readonly limits?: {
    readonly samples?: number;
    readonly labels?: number;
    readonly labelNameLength?: number;
    readonly labelValueLength?: number;
  };
  readonly filterRunning?: boolean;
};

export type PodMonitoring = {
  readonly apiVersion: 'monitoring.googleapis.com/v1';
  readonly kind: 'PodMonitoring';
  readonly metadata: IObjectMeta;
  readonly spec: Spec<Metadata>;
};

export type ClusterPodMonitoring = {
  readonly apiVersion: 'monitoring.googleapis.com/v1';
  readonly kind: 'ClusterPodMonitoring';
  readonly metadata: IObjectMeta;
  readonly spec: Spec<Metadata | 'namespace'>;
};
