// What keeps a fleet answering while nodes go: disruption budgets, spread, probes that differ in meaning,
// autoscalers that leave room.

import type { IContainer } from 'kubernetes-models/v1/Container';
import { roleContainers } from './effective-settings.ts';
import { field, labelsAt, nameOf, numberAt, ofKind, problem, serving, textAt, workloads } from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import type { Policy, Rule } from './policy.ts';
import { selectedWorkloads, selects } from './selectors.ts';

const livenessPath = '/livez';
const readinessPath = '/readyz';
/** Of a gateway alone: a pool without workers must not take all gateways away. */
const gatewayReadinessPath = '/readyz/gateway';
/** Of the store door alone: without it every worker stops its sessions when Redis is away. */
const managerReadinessPath = '/readyz/stores';
const readinessPaths: Readonly<Record<string, string>> = {
  gateway: gatewayReadinessPath,
  'session-manager': managerReadinessPath,
};
/** For which a managed Redis may be away while its replica takes over. */
const failoverSeconds = 30;

function budgets(rendered: Rendered): { readonly budget: KubeObject; readonly selected: readonly Workload[] }[] {
  return ofKind(rendered, 'PodDisruptionBudget').map((budget) => ({
    budget,
    selected: selectedWorkloads(rendered, field(budget, 'spec', 'selector')),
  }));
}

export function autoscalerOf(rendered: Rendered, { object }: Workload): KubeObject | null {
  return (
    ofKind(rendered, 'HorizontalPodAutoscaler').find(
      (autoscaler) =>
        textAt(autoscaler, 'spec', 'scaleTargetRef', 'kind') === object.kind &&
        textAt(autoscaler, 'spec', 'scaleTargetRef', 'name') === object.metadata.name,
    ) ?? null
  );
}

/** The fewest pods that there are when nothing goes wrong. */
function leastPods(rendered: Rendered, workload: Workload): number {
  const autoscaler = autoscalerOf(rendered, workload);
  return autoscaler === null ? workload.replicas : (numberAt(autoscaler, 'spec', 'minReplicas') ?? 1);
}

/** How many pods a budget keeps, of so many; a percentage is rounded up as the controller does. */
function kept(budget: KubeObject, pods: number): number {
  const share = (value: unknown): number =>
    typeof value === 'string' ? Math.ceil((pods * Number.parseFloat(value)) / 100) : Number(value);
  const [least, most] = [field(budget, 'spec', 'minAvailable'), field(budget, 'spec', 'maxUnavailable')];
  if (least !== undefined) return share(least);
  return pods - share(most ?? 0);
}

function eachServing(name: string, check: (workload: Workload, container: IContainer) => readonly string[]): Rule {
  return {
    name,
    check: (rendered) =>
      serving(rendered).flatMap((workload) =>
        workload.pod.containers.flatMap((container) => check(workload, container)),
      ),
  };
}

/** How a probe asks, without when. */
function asks(probe: IContainer['livenessProbe']): string {
  const { exec, grpc, httpGet, tcpSocket } = probe ?? {};
  return JSON.stringify({ exec, grpc, httpGet, tcpSocket });
}

export const availabilityPolicy: Policy = {
  name: 'availability',
  promise: 'every workload has a disruption budget, spread and probes that mean something',
  rules: [
    {
      name: 'one-budget-each',
      check: (rendered) =>
        serving(rendered).flatMap((workload) => {
          const found = budgets(rendered).filter(({ selected }) => selected.some(({ name }) => name === workload.name));
          return found.length === 1
            ? []
            : [`${nameOf(workload.object)}: ${found.length} PodDisruptionBudgets select its pods; exactly one must`];
        }),
    },
    {
      name: 'budget-of-one-workload',
      check: (rendered) =>
        budgets(rendered).flatMap(({ budget, selected }) =>
          selected.length === 1
            ? []
            : [
                problem(
                  budget,
                  'spec.selector',
                  field(budget, 'spec', 'selector'),
                  `it selects ${selected.length} workloads, not one`,
                ),
              ],
        ),
    },
    {
      name: 'budget-leaves-room',
      check: (rendered) =>
        budgets(rendered).flatMap(({ budget, selected }) =>
          selected.flatMap((workload) => {
            const pods = leastPods(rendered, workload);
            return kept(budget, pods) < pods
              ? []
              : [
                  problem(
                    budget,
                    'spec',
                    budget['spec'],
                    `of the least ${pods} pods of ${nameOf(workload.object)} it lets none go: a node could not be updated`,
                  ),
                ];
          }),
        ),
    },
    {
      name: 'unhealthy-may-go',
      check: (rendered) =>
        budgets(rendered).flatMap(({ budget }) => {
          const policy = textAt(budget, 'spec', 'unhealthyPodEvictionPolicy');
          return policy === 'AlwaysAllow'
            ? []
            : [
                problem(
                  budget,
                  'spec.unhealthyPodEvictionPolicy',
                  policy,
                  'AlwaysAllow: a broken pod must not hold a node',
                ),
              ];
        }),
    },
    {
      name: 'spread',
      check: (rendered) =>
        serving(rendered).flatMap((workload) => {
          const constraints = workload.pod.topologySpreadConstraints ?? [];
          const own = constraints.filter(({ labelSelector }) => selects(labelSelector, workload.podLabels));
          const keys = own.map(({ topologyKey }) => topologyKey);
          const wanted = rendered.isCloud ? 'topology.kubernetes.io/zone' : 'kubernetes.io/hostname';
          return keys.includes(wanted) || (!rendered.isCloud && keys.length > 0)
            ? []
            : [
                problem(
                  workload.object,
                  'topologySpreadConstraints',
                  keys,
                  `one over ${wanted} that selects its own pods`,
                ),
              ];
        }),
    },
    {
      name: 'spread-of-its-own-pods',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) =>
          (workload.pod.topologySpreadConstraints ?? [])
            .filter(({ labelSelector }) => {
              const selected = selectedWorkloads(rendered, labelSelector);
              return selected.length !== 1 || selected[0]?.name !== workload.name;
            })
            .map(({ labelSelector }) =>
              problem(
                workload.object,
                'topologySpreadConstraints: labelSelector',
                labelSelector,
                'its own pods and no others',
              ),
            ),
        ),
    },
    eachServing('all-probes', ({ object }, container) =>
      (['startupProbe', 'livenessProbe', 'readinessProbe'] as const).flatMap((name) =>
        container[name] === undefined
          ? [problem(object, `container ${container.name}: ${name}`, undefined, 'it must be')]
          : [],
      ),
    ),
    eachServing('probes-differ', ({ object }, { livenessProbe, name, readinessProbe }) =>
      livenessProbe !== undefined && asks(livenessProbe) === asks(readinessProbe)
        ? [
            problem(
              object,
              `container ${name}: livenessProbe and readinessProbe`,
              asks(livenessProbe),
              'they must ask for different things: who is not ready must not be killed for it',
            ),
          ]
        : [],
    ),
    {
      name: 'probe-paths',
      check: (rendered) =>
        roleContainers(rendered).flatMap(({ container, workload: { object } }) => {
          const wanted = {
            livenessProbe: [livenessPath],
            readinessProbe: [readinessPaths[container.name] ?? readinessPath],
            startupProbe: [livenessPath, readinessPath],
          };
          return (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).flatMap((name) => {
            const probe = container[name];
            const path = probe?.httpGet?.path;
            return probe === undefined || (path !== undefined && wanted[name].includes(path))
              ? []
              : [
                  problem(
                    object,
                    `container ${container.name}: ${name} path`,
                    path,
                    `one of ${wanted[name].join(', ')}`,
                  ),
                ];
          });
        }),
    },
    {
      // Their readiness asks Redis, which is away from all of them at once.
      name: 'outlives-a-failover',
      check: (rendered) =>
        roleContainers(rendered)
          .filter(({ role }) => role === 'gateway' || role === 'session-manager')
          .flatMap(({ container, workload: { object } }) => {
            const { failureThreshold = 3, periodSeconds = 10 } = container.readinessProbe ?? {};
            const patience = failureThreshold * periodSeconds;
            return patience >= failoverSeconds
              ? []
              : [
                  `${nameOf(object)}: container ${container.name}: its readinessProbe gives up after ${patience} s; a failover of ` +
                    `Redis takes up to ${failoverSeconds} s, and leaves no endpoint of the role`,
                ];
          }),
    },
    {
      name: 'update-keeps-serving',
      check: (rendered) =>
        serving(rendered).flatMap(({ object, pod, replicas }) => {
          if (object.kind !== 'Deployment') return [];
          const holdsClaim = (pod.volumes ?? []).some(
            ({ persistentVolumeClaim }) => persistentVolumeClaim !== undefined,
          );
          const strategy = textAt(object, 'spec', 'strategy', 'type') ?? 'RollingUpdate';
          const lost = field(object, 'spec', 'strategy', 'rollingUpdate', 'maxUnavailable') ?? '25%';
          if (strategy === 'Recreate' && rendered.isCloud && object.metadata.name !== 'codex-redis') {
            return [problem(object, 'spec.strategy.type', strategy, 'RollingUpdate: an update must not stop it')];
          }
          const keeps = strategy !== 'RollingUpdate' || lost === 0 || lost === '0%' || replicas > 1 || holdsClaim;
          return keeps
            ? []
            : [problem(object, 'spec.strategy.rollingUpdate.maxUnavailable', lost, '0 with a single pod')];
        }),
    },
    {
      name: 'replicas-left-to-the-autoscaler',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) => {
          const given = numberAt(workload.object, 'spec', 'replicas');
          const autoscaler = autoscalerOf(rendered, workload);
          return autoscaler === null || given === null
            ? []
            : [
                problem(
                  workload.object,
                  'spec.replicas',
                  given,
                  `nothing: ${nameOf(autoscaler)} decides, and each apply would undo it`,
                ),
              ];
        }),
    },
    {
      name: 'not-on-spot',
      check: (rendered) =>
        serving(rendered).flatMap(({ object, pod }) => {
          const isSpot = pod.nodeSelector?.['cloud.google.com/gke-spot'] === 'true';
          return isSpot
            ? [
                problem(
                  object,
                  'nodeSelector',
                  pod.nodeSelector,
                  'no spot nodes: their 25 s of grace end a turn in the middle',
                ),
              ]
            : [];
        }),
    },
    {
      name: 'same-labels-in-the-selector',
      check: (rendered) =>
        workloads(rendered).flatMap(({ object, podLabels }) => {
          const selector = labelsAt(object, 'spec', 'selector', 'matchLabels');
          const missing = Object.keys(selector).filter((key) => podLabels[key] !== selector[key]);
          return missing.length === 0
            ? []
            : [problem(object, 'spec.selector.matchLabels', selector, `its pods have ${JSON.stringify(podLabels)}`)];
        }),
    },
  ],
};
