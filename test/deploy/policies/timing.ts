// The inequalities between times: what waits for another must wait longer. Product times are those in effect;
// see effective-settings.ts.

import { configured, type Role, roleContainers, roles } from './effective-settings.ts';
import { allContainers, nameOf, numberAt, ofKind, problem, textAt, workloads } from './objects.ts';
import type { KubeObject, Rendered, Workload } from './objects.ts';
import type { Policy } from './policy.ts';

/** Google's load balancers keep connections to a backend open and idle for so long; it cannot be set. */
const balancerKeepAliveSeconds = 600;
/** Until no load balancer sends to a pod that is going: endpoints are taken out of a NEG in 15 to 20 s. */
const endpointRemovalSeconds = 15;
/** For what comes after the drain, before the kubelet kills: a worker's last snapshots, the last answers of others. */
const afterDrainSeconds: Readonly<Record<Role, number>> = {
  worker: 30,
  gateway: 5,
  'session-manager': 5,
  'model-proxy': 5,
};
/** A node that is scaled away waits so long for its pods. */
const longestGraceSeconds = 600;
/** A heartbeat may be lost, and another, before a worker is taken for lost. */
const heartbeatsInALease = 3;
/** Google's front ends are restarted about daily; longer promises are not kept. */
const longestBackendSeconds = 86_400;

function preStopSeconds({ pod }: Workload): number {
  return Math.max(0, ...(pod.containers ?? []).map(({ lifecycle }) => lifecycle?.preStop?.sleep?.seconds ?? 0));
}

function graceSeconds({ pod }: Workload): number {
  return pod.terminationGracePeriodSeconds ?? 30;
}

function backendPolicies(rendered: Rendered): { readonly policy: KubeObject; readonly isStream: boolean }[] {
  return ofKind(rendered, 'GCPBackendPolicy').map((policy) => ({
    policy,
    isStream: (textAt(policy, 'spec', 'targetRef', 'name') ?? '').endsWith('-stream'),
  }));
}

function backendTimeout(policy: KubeObject): number {
  return numberAt(policy, 'spec', 'default', 'timeoutSec') ?? 30;
}

export const timingPolicy: Policy = {
  name: 'timing',
  promise: 'whatever waits for another waits longer than that may take',
  rules: [
    {
      name: 'keep-alive-above-the-balancer',
      check: (rendered) =>
        ofKind(rendered, 'Gateway').length === 0
          ? []
          : configured(rendered, 'gateway').flatMap(({ workload: { object }, config }) =>
              config.server.keepAliveTimeoutMs > balancerKeepAliveSeconds * 1000
                ? []
                : [
                    problem(
                      object,
                      'setting server.keep_alive_timeout_ms',
                      config.server.keepAliveTimeoutMs,
                      `more than ${balancerKeepAliveSeconds} s, or the balancer's next request meets a closing connection: 502`,
                    ),
                  ],
            ),
    },
    {
      name: 'drain-within-grace',
      check: (rendered) =>
        roles.flatMap((role) =>
          configured(rendered, role).flatMap(({ workload, config }) => {
            const needed = preStopSeconds(workload) + config.server.drainTimeoutMs / 1000 + afterDrainSeconds[role];
            return graceSeconds(workload) >= needed
              ? []
              : [
                  problem(
                    workload.object,
                    'terminationGracePeriodSeconds',
                    workload.pod.terminationGracePeriodSeconds,
                    `at least ${needed}: ${preStopSeconds(workload)} s of preStop, ${config.server.drainTimeoutMs / 1000} s of server.drain_timeout_ms, ${afterDrainSeconds[role]} s for what comes last`,
                  ),
                ];
          }),
        ),
    },
    {
      name: 'grace-within-scale-down',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) =>
          graceSeconds(workload) > longestGraceSeconds
            ? [
                problem(
                  workload.object,
                  'terminationGracePeriodSeconds',
                  graceSeconds(workload),
                  `at most ${longestGraceSeconds}: a node that is scaled away waits no longer`,
                ),
              ]
            : [],
        ),
    },
    {
      name: 'pre-stop-after-removal',
      check: (rendered) =>
        ofKind(rendered, 'Gateway').length === 0
          ? []
          : workloads(rendered).flatMap((workload) =>
              workload.component === 'gateway' && preStopSeconds(workload) < endpointRemovalSeconds
                ? [
                    problem(
                      workload.object,
                      'lifecycle.preStop.sleep.seconds',
                      preStopSeconds(workload),
                      `at least ${endpointRemovalSeconds}: so long the load balancer may still send`,
                    ),
                  ]
                : [],
            ),
    },
    {
      name: 'stream-longer-than-a-turn',
      check: (rendered) => {
        const longest = Math.max(
          0,
          ...configured(rendered, 'gateway').map(({ config }) => config.turns.maxTimeoutMs / 1000),
        );
        return backendPolicies(rendered).flatMap(({ policy, isStream }) =>
          !isStream || backendTimeout(policy) >= longest
            ? []
            : [
                problem(
                  policy,
                  'spec.default.timeoutSec',
                  backendTimeout(policy),
                  `at least ${longest}: so long a turn may run (turns.max_timeout_ms), and its stream with it`,
                ),
              ],
        );
      },
    },
    {
      name: 'answer-longer-than-a-wait',
      check: (rendered) => {
        const longest = Math.max(0, ...configured(rendered, 'gateway').map(({ config }) => config.turns.waitMs / 1000));
        return backendPolicies(rendered).flatMap(({ policy }) =>
          backendTimeout(policy) > longest
            ? []
            : [
                problem(
                  policy,
                  'spec.default.timeoutSec',
                  backendTimeout(policy),
                  `more than ${longest} (turns.wait_ms)`,
                ),
              ],
        );
      },
    },
    {
      name: 'backend-within-a-day',
      check: (rendered) =>
        backendPolicies(rendered).flatMap(({ policy }) =>
          backendTimeout(policy) > longestBackendSeconds
            ? [problem(policy, 'spec.default.timeoutSec', backendTimeout(policy), `at most ${longestBackendSeconds}`)]
            : [],
        ),
    },
    {
      name: 'balancer-drains',
      check: (rendered) =>
        backendPolicies(rendered).flatMap(({ policy }) => {
          const draining = numberAt(policy, 'spec', 'default', 'connectionDraining', 'drainingTimeoutSec') ?? 0;
          const needed = Math.max(
            0,
            ...configured(rendered, 'gateway').map(({ config }) => config.server.drainTimeoutMs / 1000),
          );
          return draining >= needed && draining > 0
            ? []
            : [
                problem(
                  policy,
                  'spec.default.connectionDraining.drainingTimeoutSec',
                  draining,
                  `at least ${needed}: so long a gateway that goes lets answers end (server.drain_timeout_ms)`,
                ),
              ];
        }),
    },
    {
      name: 'lease-of-three-heartbeats',
      check: (rendered) =>
        roleContainers(rendered).flatMap(({ workload, loaded }) => {
          if (loaded === null) return [];
          const { heartbeatMs, leaseMs } = loaded.config.cluster;
          return leaseMs >= heartbeatsInALease * heartbeatMs
            ? []
            : [
                problem(
                  workload.object,
                  'setting cluster.lease_ms',
                  leaseMs,
                  `at least ${heartbeatsInALease} × cluster.heartbeat_ms, ${heartbeatsInALease * heartbeatMs}`,
                ),
              ];
        }),
    },
    {
      name: 'streams-show-life',
      check: (rendered) =>
        configured(rendered, 'gateway').flatMap(({ workload: { object }, config }) =>
          backendPolicies(rendered).flatMap(({ policy }) =>
            config.server.heartbeatMs * 2 <= backendTimeout(policy) * 1000
              ? []
              : [
                  problem(
                    object,
                    'setting server.heartbeat_ms',
                    config.server.heartbeatMs,
                    `at most half of the ${backendTimeout(policy)} s of ${nameOf(policy)}`,
                  ),
                ],
          ),
        ),
    },
    {
      name: 'probe-timeouts',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) =>
          allContainers(workload).flatMap((container) =>
            (['livenessProbe', 'readinessProbe', 'startupProbe'] as const).flatMap((name) => {
              const probe = container[name];
              if (probe === undefined) return [];
              const { periodSeconds = 10, timeoutSeconds } = probe;
              return timeoutSeconds !== undefined && timeoutSeconds <= periodSeconds
                ? []
                : [
                    problem(
                      workload.object,
                      `container ${container.name}: ${name}.timeoutSeconds`,
                      timeoutSeconds,
                      `a number up to its period, ${periodSeconds}: the default of 1 s restarts busy pods`,
                    ),
                  ];
            }),
          ),
        ),
    },
    {
      name: 'health-check-timeouts',
      check: (rendered) =>
        ofKind(rendered, 'HealthCheckPolicy').flatMap((policy) => {
          const interval = numberAt(policy, 'spec', 'default', 'checkIntervalSec') ?? 5;
          const timeout = numberAt(policy, 'spec', 'default', 'timeoutSec') ?? 5;
          return timeout <= interval
            ? []
            : [problem(policy, 'spec.default.timeoutSec', timeout, `at most checkIntervalSec, ${interval}`)];
        }),
    },
  ],
};
