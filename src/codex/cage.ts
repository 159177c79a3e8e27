// What a cage is: bubblewrap's arguments for a root of its own around one Codex process. Pure; who
// starts it and what runs in it is decided in agent-process.ts. Paths inside are frozen: they end up in rollouts.

import path from 'node:path';
import { workspacePath } from '../protocol/rollout.ts';

/** Where a slot's directory is seen from inside. */
export const cagedPaths = { slot: '/s', ws: workspacePath, home: '/s/home' } as const;

/** Whether the cage sees the host's network, and with it everything that listens on its loopback. */
export type CageNetwork = 'none' | 'host';

/** A top-level directory of the host's system: a link on merged systems, a directory on others. */
export type SystemDir = { readonly path: string; readonly linkTarget: string | null };

export type CageSpec = {
  /** Codex's package directory, bound at /opt/codex. */
  readonly vendorDir: string;
  /** The node that opens the model door. */
  readonly nodePath: string;
  /** Files of our own for /etc, as written by writeCageKit. */
  readonly kitDir: string;
  /** Holds ws, home and tmp. Bound as one: a workspace may be renamed into it later. */
  readonly slotDir: string;
  readonly systemDirs: readonly SystemDir[];
  readonly readOnlyPaths: readonly string[];
  readonly network: CageNetwork;
  /** bubblewrap reports the cage's pid 1 here. */
  readonly infoFd: number;
};

/** Files of the host's /etc that programs need and that hold no secret: never /etc/ssl/private or the like. */
const hostEtc = [
  'alternatives',
  'ca-certificates',
  'crypto-policies',
  'ld.so.cache',
  'localtime',
  'pki/ca-trust',
  'pki/tls/cert.pem',
  'pki/tls/certs',
  'ssl/certs',
  'ssl/openssl.cnf',
];
const kitEtc = ['passwd', 'group', 'nsswitch.conf', 'gitconfig'];
const networkEtc = ['hosts', 'resolv.conf'];

/**
 * Kernel settings that a worker running as root would own inside too: bubblewrap leaves some of them
 * writable then, and through core_pattern alone the agent would run programs on the host.
 */
const kernelSettings = ['acpi', 'bus', 'fs', 'irq', 'mtrr', 'pressure', 'scsi', 'sys', 'sysrq-trigger'];

/** The whole environment of what runs in the cage. Nothing is taken from ours. */
export const cagedEnvironment: Readonly<Record<string, string>> = agentEnvironment({
  home: cagedPaths.home,
  tmp: '/tmp',
  // Ours first: Codex warns, and searches on, when it finds no bubblewrap here.
  path: '/opt/codex/codex-resources:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
});

export function agentEnvironment(places: { home: string; tmp: string; path: string }): Record<string, string> {
  return {
    CODEX_HOME: places.home,
    HOME: places.home,
    LANG: 'C.UTF-8',
    LOGNAME: 'codex',
    PATH: places.path,
    SHELL: '/bin/bash',
    TMPDIR: places.tmp,
    USER: 'codex',
  };
}

/** Arguments for bubblewrap, up to and without the command. */
export function cageArguments(spec: CageSpec): string[] {
  const groups: string[][] = [
    ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    spec.network === 'none' ? ['--unshare-net'] : [],
    // Not --die-with-parent: killed between its fork and its word to go on, bubblewrap leaves what it has
    // forked, which waits for that word for ever. The watchdog notices the worker's end by itself.
    ['--new-session', '--as-pid-1', '--info-fd', String(spec.infoFd)],
    ['--hostname', 'codex', '--uid', '1000', '--gid', '1000'],
    ['--tmpfs', '/', '--dir', '/etc', '--dir', '/opt', '--dir', '/var', '--ro-bind', '/usr', '/usr'],
    spec.systemDirs.flatMap((dir) =>
      dir.linkTarget === null ? ['--ro-bind', dir.path, dir.path] : ['--symlink', dir.linkTarget, dir.path],
    ),
    hostEtc.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
    kitEtc.flatMap((name) => ['--ro-bind', path.join(spec.kitDir, name), `/etc/${name}`]),
    networkEtc.flatMap((name) =>
      spec.network === 'host'
        ? ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]
        : ['--ro-bind', path.join(spec.kitDir, name), `/etc/${name}`],
    ),
    ['--ro-bind', path.join(spec.kitDir, 'requirements.toml'), '/etc/codex/requirements.toml'],
    ['--ro-bind', spec.vendorDir, '/opt/codex', '--ro-bind', spec.nodePath, '/opt/fleet/node'],
    spec.readOnlyPaths.flatMap((extra) => ['--ro-bind', extra, extra]),
    ['--proc', '/proc', '--dev', '/dev'],
    kernelSettings.flatMap((name) => ['--ro-bind-try', `/proc/${name}`, `/proc/${name}`]),
    ['--bind', spec.slotDir, cagedPaths.slot, '--bind', path.join(spec.slotDir, 'tmp'), '/tmp'],
    ['--symlink', '/tmp', '/var/tmp', '--remount-ro', '/'],
    // Not the workspace, which is replaced when the slot is bound, and not /s: Codex lets one-off commands
    // write below the directory that it was started in.
    ['--chdir', '/tmp', '--clearenv'],
    Object.entries(cagedEnvironment).flatMap(([name, value]) => ['--setenv', name, value]),
    ['--'],
  ];
  return groups.flat();
}

/** Codex's binary as it is named inside. */
export const cagedCodexPath = '/opt/codex/bin/codex';

const reserved = ['/dev', '/etc', '/opt/codex', '/opt/fleet', '/proc', '/s', '/tmp', '/var/tmp'];

/** Why a path may not be added to the cage, in words; null when it may. */
export function readOnlyPathProblem(extra: string): string | null {
  if (!path.isAbsolute(extra) || path.normalize(extra) !== extra || extra.endsWith('/'))
    return `${extra} is not a plain absolute path`;
  // /etc as a whole would bring its secrets; a single file in it is the operator's choice.
  if (extra.startsWith('/etc/') && !extra.startsWith('/etc/codex')) return null;
  const clash = reserved.find((own) => extra === own || extra.startsWith(`${own}/`) || own.startsWith(`${extra}/`));
  return clash === undefined ? null : `${extra} would cover or uncover ${clash} of the cage`;
}
