// The environment and the files that a container starts with, put together as the kubelet does: config maps,
// secrets, fields of the pod, $(VARIABLES). What is missing is a problem in words.

import type { IContainer } from 'kubernetes-models/v1/Container';
import { field, labelsAt, listAt, named, textAt } from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import { outsideSecret } from './outside-secrets.ts';

export type StartedWith = {
  readonly env: Readonly<Record<string, string>>;
  /** By path in the container. */
  readonly files: ReadonlyMap<string, string>;
  /** Keys and objects that are referred to and not there, unless they are optional. */
  readonly missing: readonly string[];
};

/** Of fields that are known only when a pod runs. */
function fieldValue(path: string, { name, podLabels }: Workload): string {
  const label = /^metadata\.labels\['(.+)'\]$/.exec(path)?.[1];
  if (label !== undefined) return podLabels[label] ?? '';
  if (path === 'metadata.name') return `${name}-0`;
  if (path === 'metadata.namespace') return 'codex';
  return path.endsWith('IP') ? '10.8.0.9' : 'a-value';
}

export function startedWith(rendered: Rendered, workload: Workload, container: IContainer): StartedWith {
  const missing: string[] = [];
  const contents = (
    kind: 'ConfigMap' | 'Secret',
    name: string,
    isOptional: boolean,
  ): Readonly<Record<string, string>> => {
    const found = dataOf(rendered, kind, name);
    if (found === null && !isOptional) missing.push(`${kind} ${name}, which nothing makes`);
    return found ?? {};
  };
  const keyOf = (kind: 'ConfigMap' | 'Secret', ref: unknown): string | null => {
    const [name, key] = [textAt(ref, 'name') ?? '', textAt(ref, 'key') ?? ''];
    const isOptional = field(ref, 'optional') === true;
    const data = contents(kind, name, isOptional);
    if (data[key] === undefined && !isOptional && dataOf(rendered, kind, name) !== null) {
      missing.push(`the key ${key} of ${kind} ${name}; it has ${Object.keys(data).join(', ')}`);
    }
    return data[key] ?? null;
  };

  const env: Record<string, string> = {};
  for (const source of container.envFrom ?? []) {
    const [kind, ref] =
      source.secretRef === undefined
        ? (['ConfigMap', source.configMapRef] as const)
        : (['Secret', source.secretRef] as const);
    const data = contents(kind, ref?.name ?? '', ref?.optional === true);
    for (const [key, value] of Object.entries(data)) env[`${source.prefix ?? ''}${key}`] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) env[name] = expand(value ?? '', env);
    else if (valueFrom.fieldRef !== undefined) env[name] = fieldValue(valueFrom.fieldRef.fieldPath, workload);
    else if (valueFrom.resourceFieldRef !== undefined) env[name] = '1';
    else {
      const ref = valueFrom.secretKeyRef;
      const found = ref === undefined ? keyOf('ConfigMap', valueFrom.configMapKeyRef) : keyOf('Secret', ref);
      if (found !== null) env[name] = found;
    }
  }
  return { env, files: filesOf(rendered, workload, container, contents), missing };
}

function dataOf(
  rendered: Rendered,
  kind: 'ConfigMap' | 'Secret',
  name: string,
): Readonly<Record<string, string>> | null {
  const object = named(rendered, kind, name);
  if (object !== null) return contentOf(object);
  return kind === 'Secret' ? (outsideSecret(name)?.keys ?? null) : null;
}

export function contentOf(object: KubeObject): Readonly<Record<string, string>> {
  const encoded = Object.entries(labelsAt(object, object.kind === 'Secret' ? 'data' : 'binaryData'));
  const decoded = encoded.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')] as const);
  return {
    ...Object.fromEntries(decoded),
    ...(object.kind === 'Secret' ? labelsAt(object, 'stringData') : labelsAt(object, 'data')),
  };
}

/** $(NAME) of what stands before it; $$(NAME) is written out. */
function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$(\$?)\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, escape: string, name: string) =>
    escape === '$' ? whole.slice(1) : (env[name] ?? whole),
  );
}

type Contents = (kind: 'ConfigMap' | 'Secret', name: string, isOptional: boolean) => Readonly<Record<string, string>>;

function filesOf(
  rendered: Rendered,
  workload: Workload,
  container: IContainer,
  contents: Contents,
): Map<string, string> {
  const files = new Map<string, string>();
  for (const mount of container.volumeMounts ?? []) {
    const volume = (workload.pod.volumes ?? []).find(({ name }) => name === mount.name);
    for (const [path, text] of volumeFiles(rendered, volume, contents)) {
      if (mount.subPath === undefined) files.set(`${mount.mountPath}/${path}`, text);
      else if (mount.subPath === path) files.set(mount.mountPath, text);
    }
  }
  return files;
}

function volumeFiles(
  rendered: Rendered,
  volume: unknown,
  contents: Contents,
): (readonly [path: string, text: string])[] {
  const driver = textAt(volume, 'csi', 'driver');
  if (driver !== null) return providedFiles(rendered, volume);
  const sources = [volume, ...listAt(volume, 'projected', 'sources')];
  return sources.flatMap((source) => {
    const configMap = field(source, 'configMap');
    const secret = field(source, 'secret');
    if (configMap === undefined && secret === undefined) return [];
    const ref = configMap ?? secret;
    const name = textAt(ref, 'name') ?? textAt(ref, 'secretName') ?? '';
    const data = contents(configMap === undefined ? 'Secret' : 'ConfigMap', name, field(ref, 'optional') === true);
    const items = listAt(ref, 'items');
    if (items.length === 0) return Object.entries(data);
    return items.flatMap((item) => {
      const text = data[textAt(item, 'key') ?? ''];
      return text === undefined ? [] : [[textAt(item, 'path') ?? '', text] as const];
    });
  });
}

/** Of a SecretProviderClass: the paths that it names, each with a value like a secret. */
function providedFiles(rendered: Rendered, volume: unknown): (readonly [path: string, text: string])[] {
  const name = textAt(volume, 'csi', 'volumeAttributes', 'secretProviderClass') ?? '';
  const provider = named(rendered, 'SecretProviderClass', name);
  const list = textAt(provider, 'spec', 'parameters', 'secrets') ?? '';
  return [...list.matchAll(/^\s*(?:- )?(?:path|fileName):\s*["']?([^"'\s]+)["']?\s*$/gm)].map(
    (match) => [match[1] ?? '', 'a-value-of-a-secret'] as const,
  );
}
