// References between plain Kubernetes objects: whatever is named is there, and fits.

import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IProbe } from 'kubernetes-models/v1/Probe';
import { startedWith } from './environment.ts';
import { contentOf } from './environment.ts';
import {
  allContainers,
  field,
  isNamed,
  labelsAt,
  listAt,
  named,
  nameOf,
  ofKind,
  problem,
  textAt,
  workloads,
} from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import { outsideSecret } from './outside-secrets.ts';
import type { Policy, Rule } from './policy.ts';
import { selectsByMap } from './selectors.ts';

export function podsOfService(rendered: Rendered, service: KubeObject): Workload[] {
  const selector = labelsAt(service, 'spec', 'selector');
  return workloads(rendered).filter(({ podLabels }) => selectsByMap(selector, podLabels));
}

/** A port by number or name, as some container of the pod declares it. */
export function hasPort({ pod }: Workload, port: unknown): boolean {
  return (pod.containers ?? []).some(({ ports }) =>
    (ports ?? []).some(({ containerPort, name }) => containerPort === port || name === port),
  );
}

export function declaredPorts({ pod }: Workload): string {
  const ports = (pod.containers ?? []).flatMap(({ ports: own }) => own ?? []);
  return ports.map(({ containerPort, name }) => `${name ?? 'unnamed'} ${containerPort}`).join(', ') || 'none';
}

function eachContainer(
  name: string,
  check: (rendered: Rendered, workload: Workload, container: IContainer) => readonly string[],
): Rule {
  return {
    name,
    check: (rendered) =>
      workloads(rendered).flatMap((workload) =>
        allContainers(workload).flatMap((container) => check(rendered, workload, container)),
      ),
  };
}

function probePort(probe: IProbe | undefined): unknown {
  return probe?.httpGet?.port ?? probe?.tcpSocket?.port ?? probe?.grpc?.port;
}

function claimNames({ object }: Workload): string[] {
  return listAt(object, 'spec', 'volumeClaimTemplates').map((claim) => textAt(claim, 'metadata', 'name') ?? '');
}

/** Secrets that a volume or an environment names and that neither this rendering nor the bootstrap makes are
 *  found by startedWith; this finds those that no container mounts. */
function volumeSources(rendered: Rendered, { object, pod }: Workload): string[] {
  return (pod.volumes ?? []).flatMap((volume) => {
    const at = `volume ${volume.name}`;
    const claim = volume.persistentVolumeClaim?.claimName;
    const secret = volume.secret?.optional === true ? undefined : volume.secret?.secretName;
    const config = volume.configMap?.optional === true ? undefined : volume.configMap?.name;
    const provider = textAt(volume, 'csi', 'volumeAttributes', 'secretProviderClass');
    return [
      ...(claim !== undefined && named(rendered, 'PersistentVolumeClaim', claim) === null
        ? [problem(object, `${at}: claimName`, claim, 'a PersistentVolumeClaim of this overlay')]
        : []),
      ...(secret !== undefined && named(rendered, 'Secret', secret) === null && outsideSecret(secret) === null
        ? [problem(object, `${at}: secretName`, secret, 'a Secret of this overlay, or one that the bootstrap makes')]
        : []),
      ...(config !== undefined && named(rendered, 'ConfigMap', config) === null
        ? [problem(object, `${at}: configMap`, config, 'a ConfigMap of this overlay')]
        : []),
      ...(provider !== null && named(rendered, 'SecretProviderClass', provider) === null
        ? [problem(object, `${at}: secretProviderClass`, provider, 'a SecretProviderClass of this overlay')]
        : []),
    ];
  });
}

export const referencesPolicy: Policy = {
  name: 'references',
  promise: 'whatever an object names is there: pods, ports, accounts, config maps, secrets, volumes, claims',
  rules: [
    {
      name: 'service-selects-pods',
      check: (rendered) =>
        ofKind(rendered, 'Service').flatMap((service) => {
          const found = podsOfService(rendered, service);
          return found.length === 1
            ? []
            : [
                problem(
                  service,
                  'spec.selector',
                  field(service, 'spec', 'selector'),
                  `it selects ${found.length} workloads, not one`,
                ),
              ];
        }),
    },
    {
      name: 'service-port-exists',
      check: (rendered) =>
        ofKind(rendered, 'Service').flatMap((service) =>
          podsOfService(rendered, service).flatMap((workload) =>
            listAt(service, 'spec', 'ports')
              .map((port) => field(port, 'targetPort') ?? field(port, 'port'))
              .filter((port) => !hasPort(workload, port))
              .map((port) =>
                problem(
                  service,
                  'spec.ports: targetPort',
                  port,
                  `${nameOf(workload.object)} has ${declaredPorts(workload)}`,
                ),
              ),
          ),
        ),
    },
    {
      name: 'governing-service',
      check: (rendered) =>
        ofKind(rendered, 'StatefulSet').flatMap((object) => {
          const name = textAt(object, 'spec', 'serviceName');
          const service = name === null ? null : named(rendered, 'Service', name);
          return service !== null && textAt(service, 'spec', 'clusterIP') === 'None'
            ? []
            : [problem(object, 'spec.serviceName', name, 'a headless Service of this overlay')];
        }),
    },
    {
      name: 'service-account',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, name, pod }) => {
          const account = pod.serviceAccountName;
          if (account === undefined || named(rendered, 'ServiceAccount', account) === null) {
            return [problem(object, 'serviceAccountName', account, 'a ServiceAccount of this overlay')];
          }
          return account === name
            ? []
            : [problem(object, 'serviceAccountName', account, `${name}: one for each workload`)];
        }),
    },
    eachContainer('environment-sources', (rendered, workload, container) =>
      startedWith(rendered, workload, container).missing.map(
        (words) => `${nameOf(workload.object)}: container ${container.name} needs ${words}`,
      ),
    ),
    {
      name: 'volume-sources',
      check: (rendered) => workloads(rendered).flatMap((workload) => volumeSources(rendered, workload)),
    },
    eachContainer('mounts-have-volumes', (_rendered, workload, container) => {
      const volumes = [...(workload.pod.volumes ?? []).map(({ name }) => name), ...claimNames(workload)];
      return (container.volumeMounts ?? [])
        .filter(({ name }) => !volumes.includes(name))
        .map(({ name }) =>
          problem(workload.object, `container ${container.name}: volumeMounts`, name, `one of ${volumes.join(', ')}`),
        );
    }),
    {
      name: 'volumes-are-mounted',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) => {
          const mounted = allContainers(workload).flatMap(({ volumeMounts }) =>
            (volumeMounts ?? []).map(({ name }) => name),
          );
          return (workload.pod.volumes ?? [])
            .filter(({ name }) => !mounted.includes(name))
            .map(({ name }) =>
              problem(workload.object, 'volumes', name, 'a volume that no container mounts is left out'),
            );
        }),
    },
    eachContainer('mounts-do-not-collide', (_rendered, { object }, container) => {
      const paths = (container.volumeMounts ?? []).map(({ mountPath }) => mountPath);
      return paths
        .filter((path, index) => paths.indexOf(path) !== index)
        .map((path) => problem(object, `container ${container.name}: mountPath`, path, 'each path once'));
    }),
    eachContainer('probe-ports', (_rendered, workload, container) =>
      (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).flatMap((name) => {
        const port = probePort(container[name]);
        return port === undefined || hasPort(workload, port)
          ? []
          : [
              problem(
                workload.object,
                `container ${container.name}: ${name} port`,
                port,
                `one of ${declaredPorts(workload)}`,
              ),
            ];
      }),
    ),
    eachContainer('files-are-there', (rendered, workload, container) => {
      const { env, files } = startedWith(rendered, workload, container);
      return Object.entries(env)
        .filter(([name, path]) => (name.endsWith('_FILE') || name === 'CODEX_FLEET_CONFIG') && path.startsWith('/'))
        .filter(([, path]) => !files.has(path))
        .map(([name, path]) =>
          problem(
            workload.object,
            `container ${container.name}: ${name}`,
            path,
            `a file that it mounts: ${[...files.keys()].join(', ') || 'none'}`,
          ),
        );
    }),
    {
      name: 'priority-class',
      check: (rendered) =>
        workloads(rendered).flatMap(({ component, object, pod }) => {
          const name = pod.priorityClassName;
          if (name === undefined) return [];
          const found = named(rendered, 'PriorityClass', name);
          if (found === null) return [problem(object, 'priorityClassName', name, 'a PriorityClass of this overlay')];
          const givesWay = Number(field(found, 'value')) < 0 && textAt(found, 'preemptionPolicy') === 'Never';
          return component !== 'balloon' || givesWay
            ? []
            : [
                problem(
                  found,
                  'value',
                  field(found, 'value'),
                  'below 0, and preemptionPolicy Never: a balloon gives way to all',
                ),
              ];
        }),
    },
    {
      name: 'nothing-unused',
      check: (rendered) => {
        const text = JSON.stringify(workloads(rendered).map(({ object }) => object));
        return ofKind(rendered, 'ConfigMap', 'Secret', 'ServiceAccount', 'PersistentVolumeClaim')
          .filter(
            (object) => !text.includes(JSON.stringify(object.metadata.name)) && !isNamed(object, 'codex-dashboards'),
          )
          .map((object) => `${nameOf(object)}: no pod uses it; what is left over is left out`);
      },
    },
    {
      name: 'urls-of-services',
      check: (rendered) =>
        ofKind(rendered, 'ConfigMap').flatMap((object) =>
          Object.entries(contentOf(object)).flatMap(([key, text]) => serviceUrlProblems(rendered, object, key, text)),
        ),
    },
  ],
};

/** `http://codex-model-proxy:7100`: a Service of this overlay, and a port of it. */
function serviceUrlProblems(rendered: Rendered, object: KubeObject, key: string, text: string): string[] {
  return [
    ...text.matchAll(/\b(?:https?|rediss?):\/\/(?:[^@/\s"]*@)?(codex-[a-z0-9-]+)(?:\.[a-z0-9.-]+)?:(\d+)/g),
  ].flatMap(([url, name = '', port]) => {
    const service = named(rendered, 'Service', name);
    if (service === null) return [problem(object, key, url, 'a Service of this overlay')];
    const ports = listAt(service, 'spec', 'ports').map((each) => Number(field(each, 'port')));
    return ports.includes(Number(port))
      ? []
      : [problem(object, key, url, `${nameOf(service)} has ${ports.join(', ')}`)];
  });
}
