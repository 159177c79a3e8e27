// What pods ask for: requests that are what we pay for, memory that cannot be promised twice, the bounds of
// Autopilot, and room for as many sessions as a worker takes.
// https://cloud.google.com/kubernetes-engine/docs/concepts/autopilot-resource-requests

import type { IContainer } from 'kubernetes-models/v1/Container';
import { configured } from './effective-settings.ts';
import { allContainers, field, nameOf, problem, workloads } from './objects.ts';
import type { Rendered, Workload } from './objects.ts';
import type { Policy, Rule } from './policy.ts';
import { GiB, inMiB, MiB, quantity } from './quantities.ts';

const leastCpu = 0.05;
const mostCpu = 30;
const leastMemory = 52 * MiB;
/** GiB of memory for each vCPU, beyond which Autopilot raises one of them, and the bill. */
const ratio = { least: 1, most: 6.5 };
const mostEphemeral = 10 * GiB;

/** A Codex process at rest, its cage and its watchdog: less than this is not to be had. */
const slotMemory = 128 * MiB;
/** The worker's own process, with events that wait for a Redis that is away. */
const workerMemory = 384 * MiB;

type Named = 'cpu' | 'memory' | 'ephemeral-storage';

function requested(container: IContainer, name: Named): number | null {
  return quantity(container.resources?.requests?.[name]);
}

function limited(container: IContainer, name: Named): number | null {
  return quantity(container.resources?.limits?.[name]);
}

function eachContainer(
  name: string,
  check: (workload: Workload, container: IContainer, at: string) => readonly string[],
): Rule {
  return {
    name,
    check: (rendered) =>
      workloads(rendered).flatMap((workload) =>
        allContainers(workload).flatMap((container) => check(workload, container, `container ${container.name}`)),
      ),
  };
}

/** What Autopilot adds up: the containers run together, init containers before them. */
function podTotal(workload: Workload, name: Named): number {
  return (workload.pod.containers ?? []).reduce((sum, container) => sum + (requested(container, name) ?? 0), 0);
}

function onAutopilot(name: string, check: (workload: Workload) => readonly string[]): Rule {
  return { name, check: (rendered: Rendered) => (rendered.isCloud ? workloads(rendered).flatMap(check) : []) };
}

function emptyDirs({ pod }: Workload) {
  return (pod.volumes ?? []).flatMap(({ emptyDir, name }) => (emptyDir === undefined ? [] : [{ name, emptyDir }]));
}

export const resourcesPolicy: Policy = {
  name: 'resources',
  promise: 'every container asks for what it needs, within what Autopilot takes, and workers fit their sessions',
  rules: [
    eachContainer('requests-set', ({ object }, container, at) =>
      (['cpu', 'memory'] as const).flatMap((name) =>
        requested(container, name) === null
          ? [problem(object, `${at}: requests.${name}`, container.resources?.requests?.[name], 'a quantity')]
          : [],
      ),
    ),
    eachContainer('memory-not-promised-twice', ({ object }, container, at) =>
      limited(container, 'memory') !== null && limited(container, 'memory') === requested(container, 'memory')
        ? []
        : [
            problem(
              object,
              `${at}: limits.memory`,
              container.resources?.limits?.['memory'],
              `the same as requests.memory, ${String(container.resources?.requests?.['memory'])}`,
            ),
          ],
    ),
    onAutopilot('autopilot-bounds', (workload) => {
      const [cpu, memory] = [podTotal(workload, 'cpu'), podTotal(workload, 'memory')];
      return [
        ...(cpu < leastCpu || cpu > mostCpu
          ? [problem(workload.object, 'requests.cpu of its pod', cpu, `from ${leastCpu} to ${mostCpu}`)]
          : []),
        ...(memory < leastMemory
          ? [problem(workload.object, 'requests.memory of its pod', inMiB(memory), `at least ${inMiB(leastMemory)}`)]
          : []),
      ];
    }),
    onAutopilot('autopilot-ratio', (workload) => {
      const given = podTotal(workload, 'memory') / GiB / podTotal(workload, 'cpu');
      // Quantities such as 52Mi make for fractions: a hundredth is not what is billed.
      return given >= ratio.least - 0.01 && given <= ratio.most + 0.01
        ? []
        : [
            problem(
              workload.object,
              'requests.memory : requests.cpu of its pod',
              Number(given.toFixed(2)),
              `from ${ratio.least} to ${ratio.most} GiB for each vCPU, or Autopilot raises one of them`,
            ),
          ];
    }),
    {
      name: 'writable-dirs-bounded',
      check: (rendered) =>
        workloads(rendered).flatMap((workload) =>
          emptyDirs(workload)
            .filter(({ emptyDir }) => quantity(emptyDir.sizeLimit) === null)
            .map(({ emptyDir, name }) =>
              problem(
                workload.object,
                `volume ${name}: emptyDir.sizeLimit`,
                emptyDir.sizeLimit,
                'a quantity: a node has one disk for all',
              ),
            ),
        ),
    },
    onAutopilot('ephemeral-storage-covers-dirs', (workload) => {
      const needed = emptyDirs(workload)
        .filter(({ emptyDir }) => emptyDir.medium !== 'Memory')
        .reduce((sum, { emptyDir }) => sum + (quantity(emptyDir.sizeLimit) ?? 0), 0);
      const given = podTotal(workload, 'ephemeral-storage');
      const words = `at least ${inMiB(needed)}, the sum of its emptyDirs, and at most ${inMiB(mostEphemeral)}: Autopilot evicts above it`;
      return given >= needed && given <= mostEphemeral
        ? []
        : [problem(workload.object, 'requests.ephemeral-storage of its pod', inMiB(given), words)];
    }),
    {
      name: 'memory-holds-all-slots',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload, container, config }) => {
          const session = Number(field(config, 'worker', 'sessionMemoryBytes') ?? 0);
          const { slots } = config.worker;
          const inMemory = emptyDirs(workload)
            .filter(({ emptyDir }) => emptyDir.medium === 'Memory')
            .reduce((sum, { emptyDir }) => sum + (quantity(emptyDir.sizeLimit) ?? 0), 0);
          const needed = slots * (session + slotMemory) + workerMemory + inMemory;
          const given = limited(container, 'memory') ?? 0;
          return given >= needed
            ? []
            : [
                problem(
                  workload.object,
                  `container ${container.name}: limits.memory`,
                  inMiB(given),
                  `at least ${inMiB(needed)}: ${slots} slots × (${inMiB(session)} of worker.session_memory_bytes + ${inMiB(slotMemory)}) + ${inMiB(workerMemory + inMemory)}`,
                ),
              ];
        }),
    },
    {
      name: 'session-memory-watched',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object }, config }) =>
          Number(field(config, 'worker', 'sessionMemoryBytes') ?? 0) > 0
            ? []
            : [problem(object, 'setting worker.session_memory_bytes', 0, 'more than 0: one session could end its pod')],
        ),
    },
    {
      name: 'slots-said',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object }, startedWith: { env }, config }) =>
          env['CODEX_FLEET_SLOTS'] === undefined && config.worker.slots > 0 && !originIsFile(rendered, object)
            ? [problem(object, 'CODEX_FLEET_SLOTS', undefined, 'a number: the default depends on the node it lands on')]
            : [],
        ),
    },
    {
      name: 'no-cage-one-session',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object }, config }) =>
          config.cage.allowNone && config.worker.slots !== 1
            ? [
                problem(
                  object,
                  'setting worker.slots',
                  config.worker.slots,
                  '1 where cage.allow_none is set: one session at a time',
                ),
              ]
            : [],
        ),
    },
    {
      name: 'cage-can-be-made',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object, pod }, config }) =>
          pod.runtimeClassName !== 'gvisor' && !config.cage.allowNone
            ? [
                problem(
                  object,
                  'runtimeClassName',
                  pod.runtimeClassName,
                  'gvisor: RuntimeDefault forbids what a cage is made of, and without cage.allow_none no worker would start',
                ),
              ]
            : [],
        ),
    },
    {
      name: 'cage-required-under-gvisor',
      check: (rendered) =>
        configured(rendered, 'worker').flatMap(({ workload: { object, pod }, config }) =>
          pod.runtimeClassName === 'gvisor' && config.cage.allowNone
            ? [problem(object, 'setting cage.allow_none', true, 'false: under gVisor the cage is expected to work')]
            : [],
        ),
    },
  ],
};

function originIsFile(rendered: Rendered, object: Workload['object']): boolean {
  return configured(rendered, 'worker').some(
    ({ workload, loaded }) =>
      nameOf(workload.object) === nameOf(object) && loaded?.origins.get('worker.slots')?.source === 'file',
  );
}
