// SecretProviderClass of the Secrets Store CSI driver, for Google's add-on: which secrets become which files.
// `parameters.secrets` is YAML in a text.
// https://docs.cloud.google.com/secret-manager/docs/secret-manager-managed-csi-component

import type { IObjectMeta } from '@kubernetes-models/apimachinery/apis/meta/v1/ObjectMeta';

export type SecretProviderClass = {
  readonly apiVersion: 'secrets-store.csi.x-k8s.io/v1';
  readonly kind: 'SecretProviderClass';
  readonly metadata: IObjectMeta;
  readonly spec: {
    readonly provider: string;
    readonly parameters: { readonly secrets: string; readonly auth?: 'pod-adc' | 'provider-adc' };
    readonly secretObjects?: readonly {
      readonly secretName: string;
      readonly type: string;
      readonly data: readonly { readonly objectName: string; readonly key: string }[];
      readonly labels?: Readonly<Record<string, string>>;
      readonly annotations?: Readonly<Record<string, string>>;
    }[];
  };
};
