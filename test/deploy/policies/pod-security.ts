// The restricted pod security standard, in full, and what we ask beyond it: a read-only root, and users that
// are said by number. The namespace has to enforce it too.
// https://kubernetes.io/docs/concepts/security/pod-security-standards/

import type { IContainer } from 'kubernetes-models/v1/Container';
import { allContainers, field, labelsAt, listAt, ofKind, problem, workloads } from './objects.ts';
import type { Rendered, Workload } from './objects.ts';
import type { Policy, Rule } from './policy.ts';

type Check = (workload: Workload, container: IContainer, at: string) => readonly string[];

const allowedVolumes = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);
const hostFields = ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace'] as const;

/** One rule over every container and init container. */
function eachContainer(name: string, check: Check): Rule {
  return {
    name,
    check: (rendered) =>
      workloads(rendered).flatMap((workload) =>
        allContainers(workload).flatMap((container) => check(workload, container, `container ${container.name}`)),
      ),
  };
}

function eachPod(name: string, check: (workload: Workload) => readonly string[]): Rule {
  return { name, check: (rendered) => workloads(rendered).flatMap(check) };
}

/** What is set for a container, or else for its pod. */
function effective(workload: Workload, container: IContainer, name: 'runAsNonRoot' | 'runAsUser'): unknown {
  return container.securityContext?.[name] ?? workload.pod.securityContext?.[name];
}

const rules: readonly Rule[] = [
  eachPod('host-namespaces', ({ object, pod }) =>
    hostFields.flatMap((name) =>
      pod[name] === true ? [problem(object, name, true, 'a pod shares nothing of its node or between containers')] : [],
    ),
  ),
  eachPod('volume-kinds', ({ object, pod }) =>
    (pod.volumes ?? []).flatMap((volume) =>
      Object.keys(volume)
        .filter((key) => key !== 'name' && !allowedVolumes.has(key))
        .map((key) => problem(object, `volume ${volume.name}`, key, `allowed: ${[...allowedVolumes].join(', ')}`)),
    ),
  ),
  eachPod('sysctls', ({ object, pod }) =>
    (pod.securityContext?.sysctls ?? []).map(({ name }) => problem(object, 'sysctls', name, 'none is needed')),
  ),
  eachContainer('privileged', ({ object }, { securityContext }, at) =>
    securityContext?.privileged === true ? [problem(object, `${at}: privileged`, true, 'only false')] : [],
  ),
  eachContainer('privilege-escalation', ({ object }, { securityContext }, at) =>
    securityContext?.allowPrivilegeEscalation === false
      ? []
      : [problem(object, `${at}: allowPrivilegeEscalation`, securityContext?.allowPrivilegeEscalation, 'only false')],
  ),
  eachContainer('capabilities-dropped', ({ object }, { securityContext }, at) =>
    (securityContext?.capabilities?.drop ?? []).includes('ALL')
      ? []
      : [problem(object, `${at}: capabilities.drop`, securityContext?.capabilities?.drop, 'must have ALL')],
  ),
  eachContainer('capabilities-added', ({ object }, { securityContext }, at) =>
    (securityContext?.capabilities?.add ?? []).map((capability) =>
      problem(object, `${at}: capabilities.add`, capability, 'none is given'),
    ),
  ),
  eachContainer('non-root', (workload, container, at) =>
    effective(workload, container, 'runAsNonRoot') === true
      ? []
      : [problem(workload.object, `${at}: runAsNonRoot`, effective(workload, container, 'runAsNonRoot'), 'only true')],
  ),
  eachContainer('user', (workload, container, at) => {
    const user = effective(workload, container, 'runAsUser');
    return typeof user === 'number' && user > 0
      ? []
      : [problem(workload.object, `${at}: runAsUser`, user, 'a number above 0, such as 65532')];
  }),
  eachContainer('seccomp', ({ object, pod }, { securityContext }, at) => {
    const type = securityContext?.seccompProfile?.type ?? pod.securityContext?.seccompProfile?.type;
    return type === 'RuntimeDefault'
      ? []
      : [problem(object, `${at}: seccompProfile.type`, type, 'only RuntimeDefault')];
  }),
  eachContainer('apparmor', ({ object, pod }, { securityContext }, at) => {
    const type = securityContext?.appArmorProfile?.type ?? pod.securityContext?.appArmorProfile?.type;
    return type === undefined || type === 'RuntimeDefault'
      ? []
      : [problem(object, `${at}: appArmorProfile.type`, type, 'RuntimeDefault, or none said')];
  }),
  eachContainer('proc-mount', ({ object }, { securityContext }, at) =>
    securityContext?.procMount === undefined || securityContext.procMount === 'Default'
      ? []
      : [problem(object, `${at}: procMount`, securityContext.procMount, 'only Default')],
  ),
  eachContainer('selinux', ({ object, pod }, { securityContext }, at) => {
    const options = securityContext?.seLinuxOptions ?? pod.securityContext?.seLinuxOptions;
    return options === undefined ? [] : [problem(object, `${at}: seLinuxOptions`, options, 'none is needed')];
  }),
  eachContainer('host-ports', ({ object }, { ports }, at) =>
    (ports ?? []).flatMap(({ hostPort }) =>
      hostPort === undefined ? [] : [problem(object, `${at}: hostPort`, hostPort, 'no port of the node is taken')],
    ),
  ),
  eachContainer('probe-hosts', ({ object }, container, at) =>
    (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).flatMap((probe) => {
      const host = container[probe]?.httpGet?.host ?? container[probe]?.tcpSocket?.host;
      return host === undefined ? [] : [problem(object, `${at}: ${probe} host`, host, 'the pod itself: none said')];
    }),
  ),
  eachContainer('read-only-root', ({ object }, { securityContext }, at) =>
    securityContext?.readOnlyRootFilesystem === true
      ? []
      : [
          problem(
            object,
            `${at}: readOnlyRootFilesystem`,
            securityContext?.readOnlyRootFilesystem,
            'only true: what is written goes to /data and /tmp',
          ),
        ],
  ),
  { name: 'namespace-enforces', check: namespaceProblems },
];

function namespaceProblems(rendered: Rendered): readonly string[] {
  const namespaces = ofKind(rendered, 'Namespace');
  if (namespaces.length === 0) return ['there is no Namespace; one must be rendered, with its pod-security labels'];
  const wanted = { enforce: 'restricted', 'enforce-version': 'latest', audit: 'restricted', warn: 'restricted' };
  return namespaces.flatMap((namespace) =>
    Object.entries(wanted).flatMap(([mode, value]) => {
      const label = `pod-security.kubernetes.io/${mode}`;
      const given = labelsAt(namespace, 'metadata', 'labels')[label];
      return given === value ? [] : [problem(namespace, `label ${label}`, given, `only ${value}`)];
    }),
  );
}

/** Nothing beside containers and init containers runs in our pods. */
const ephemeral: Rule = eachPod('ephemeral-containers', ({ object, pod }) =>
  listAt(pod, 'ephemeralContainers').map((container) =>
    problem(object, 'ephemeralContainers', field(container, 'name'), 'none is shipped'),
  ),
);

export const podSecurity: Policy = {
  name: 'pod-security',
  promise: 'every container and init container keeps the restricted pod security standard, with a read-only root',
  rules: [...rules, ephemeral],
};
