// ServiceMonitor of the Prometheus operator, as far as we use it: a field that is missing here is not known to
// be wrong, but it is not known either.
// https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor

import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';
import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';

export type ServiceMonitor = {
  readonly apiVersion: 'monitoring.coreos.com/v1';
  readonly kind: 'ServiceMonitor';
  readonly metadata: IObjectMeta;
  readonly spec: {
    readonly selector: ILabelSelector;
    readonly namespaceSelector?: { readonly any?: boolean; readonly matchNames?: readonly string[] };
    readonly jobLabel?: string;
    readonly targetLabels?: readonly string[];
    readonly podTargetLabels?: readonly string[];
    readonly endpoints: readonly {
      readonly port?: string;
      readonly targetPort?: number | string;
      readonly path?: string;
      readonly scheme?: 'http' | 'https' | 'HTTP' | 'HTTPS';
      readonly interval?: string;
      readonly scrapeTimeout?: string;
      readonly honorLabels?: boolean;
      readonly authorization?: {
        readonly type?: string;
        readonly credentials?: { readonly name: string; readonly key: string; readonly optional?: boolean };
      };
      readonly params?: Readonly<Record<string, readonly string[]>>;
    }[];
  };
};
