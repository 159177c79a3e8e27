// Settings that the product takes: every container of ours is put through the real loading, and what must be
// the same in all roles is compared.

import type { Config } from '../../../src/config/resolve.ts';
import { type Role, roleContainers, roles } from './effective-settings.ts';
import type { RoleContainer } from './effective-settings.ts';
import { field, nameOf, problem } from './objects.ts';
import type { Rendered } from './objects.ts';
import type { Policy } from './policy.ts';

/** Who differs here takes another fleet for its own, or declares its owner lost too early. */
const sameForAll: readonly (readonly [path: string, roles: readonly Role[]])[] = [
  ['redis.url', roles],
  ['redis.keyPrefix', roles],
  ['cluster.secret', roles],
  ['cluster.heartbeatMs', roles],
  ['cluster.leaseMs', roles],
  ['modelProxy.url', ['gateway', 'worker', 'session-manager']],
  ['modelProxy.controlUrl', ['gateway', 'worker', 'session-manager']],
  ['storage', ['gateway', 'session-manager']],
  ['google.project', ['gateway', 'session-manager']],
  ['google.database', ['gateway', 'session-manager']],
  ['google.bucket', ['gateway', 'session-manager']],
  ['google.prefix', ['gateway', 'session-manager']],
];

/** Where each role listens: the host, and the ports by the names that its container gives them. */
const listeners: Readonly<
  Record<Role, (config: Config) => { readonly host: string; readonly ports: readonly number[] }>
> = {
  gateway: ({ server }) => ({ host: server.host, ports: [server.port] }),
  worker: ({ worker }) => ({ host: worker.host, ports: [worker.port] }),
  'session-manager': (config) => ({
    host: config.manager.host,
    ports: [config.manager.port, field(config, 'manager', 'storePort')].filter((port) => typeof port === 'number'),
  }),
  'model-proxy': ({ modelProxy }) => ({ host: modelProxy.host, ports: [modelProxy.port, modelProxy.controlPort] }),
};

function at({ container }: RoleContainer): string {
  return `container ${container.name}`;
}

function shown(path: string, value: unknown): unknown {
  return path === 'redis.url' || path === 'cluster.secret' ? '(hidden)' : value;
}

function valueOf(config: Config, path: string): unknown {
  return field(config, ...path.split('.'));
}

export const settingsPolicy: Policy = {
  name: 'settings',
  promise: 'the product takes the settings of every container, and the roles agree where they must',
  rules: [
    {
      name: 'accepted',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) =>
          each.problems.map((words) => `${nameOf(each.workload.object)}: ${at(each)}: ${words}`),
        ),
    },
    {
      name: 'role',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) =>
          each.role === null
            ? [
                problem(
                  each.workload.object,
                  `${at(each)}: args`,
                  each.container.args,
                  `the first is one of ${roles.join(', ')}`,
                ),
              ]
            : [],
        ),
    },
    {
      name: 'same-for-all',
      check: (rendered) => sameForAll.flatMap(([path, which]) => differences(rendered, path, which)),
    },
    {
      name: 'listens-to-pods',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) => {
          if (each.role === null || each.loaded === null) return [];
          const { host } = listeners[each.role](each.loaded.config);
          return /^(127\.|localhost$|::1$)/.test(host)
            ? [
                problem(
                  each.workload.object,
                  `${at(each)}: the address listened on`,
                  host,
                  '0.0.0.0: other pods call it',
                ),
              ]
            : [];
        }),
    },
    {
      name: 'listens-where-declared',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) => {
          if (each.role === null || each.loaded === null) return [];
          const declared = (each.container.ports ?? []).map(({ containerPort }) => containerPort);
          const { ports } = listeners[each.role](each.loaded.config);
          return ports
            .filter((port) => !declared.includes(port))
            .map((port) => problem(each.workload.object, `${at(each)}: ports`, declared, `it listens on ${port} too`));
        }),
    },
    {
      name: 'key-in-the-proxy-alone',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) => {
          const given = ['OPENAI_API_KEY', 'CODEX_FLEET_MODEL_API_KEY_FILE', 'CODEX_FLEET_API_KEY_FILE'].filter(
            (name) => each.startedWith.env[name] !== undefined,
          );
          return each.role === 'model-proxy'
            ? []
            : given.map((name) =>
                problem(each.workload.object, at(each), name, 'only the model proxy is given the key'),
              );
        }),
    },
    {
      name: 'shared-storage',
      check: (rendered) =>
        roleContainers(rendered).flatMap((each) =>
          rendered.isCloud &&
          (each.role === 'gateway' || each.role === 'session-manager') &&
          each.loaded !== null &&
          each.loaded.config.storage !== 'google'
            ? [
                problem(
                  each.workload.object,
                  `${at(each)}: storage`,
                  each.loaded.config.storage,
                  'google: pods are on many nodes',
                ),
              ]
            : [],
        ),
    },
  ],
};

function differences(rendered: Rendered, path: string, which: readonly Role[]): string[] {
  const [first, ...others] = roleContainers(rendered).filter(
    ({ loaded, role }) => loaded !== null && role !== null && which.includes(role),
  );
  if (first?.loaded === undefined || first.loaded === null) return [];
  const wanted = valueOf(first.loaded.config, path);
  return others.flatMap((each) => {
    const value = each.loaded === null ? wanted : valueOf(each.loaded.config, path);
    if (JSON.stringify(value) === JSON.stringify(wanted)) return [];
    const allowed = `${JSON.stringify(shown(path, wanted))}, as ${nameOf(first.workload.object)} has it`;
    return [problem(each.workload.object, `${at(each)}: setting ${path}`, shown(path, value), allowed)];
  });
}
