// Whether this process is alone in a container of its own, so that whatever else runs there, or lies in its
// temporary places, was left by agents. Doubt is a no: what is not known to be ours is not touched.

import { readdirSync, readFileSync } from 'node:fs';
import { ServiceError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';

/** What is seen of the place where this process runs. */
export type Surroundings = {
  readonly pid: number;
  readonly parentPid: number;
  readonly uid: number;
  /** Of pid 1, as /proc has them; null when that cannot be read. */
  readonly initUid: number | null;
  readonly initName: string | null;
  /** Of the root, as `/proc/self/mountinfo` has it; null when that cannot be read. */
  readonly rootFileSystem: string | null;
  /** What container engines leave inside: `/.dockerenv`, `/run/.containerenv`, a hosts file that Kubernetes wrote. */
  readonly hasContainerMark: boolean;
};

/** Each starts one program and sees it to its end: a child of theirs has no siblings but the orphans of its own. */
const smallInits: readonly string[] = ['catatonit', 'docker-init', 'dumb-init', 'podman-init', 'tini'];
const containerRoots: readonly string[] = ['overlay', 'fuse.fuse-overlayfs', 'aufs'];

/**
 * pid 1 of a container, or the child of a small init of the same ordinary user there. On a host pid 1 is root's;
 * in a PID namespace made by hand the root is the host's, and so is /tmp.
 */
export function isAlone(at: Surroundings): boolean {
  const isContainer = at.hasContainerMark || (at.rootFileSystem !== null && containerRoots.includes(at.rootFileSystem));
  if (!isContainer) return false;
  if (at.pid === 1) return true;
  const isBelowInit = at.parentPid === 1 && at.initName !== null && smallInits.includes(at.initName);
  return isBelowInit && at.uid !== 0 && at.initUid === at.uid;
}

export function readSurroundings(): Surroundings {
  const hosts = read('/etc/hosts') ?? '';
  return {
    pid: process.pid,
    parentPid: process.ppid,
    uid: process.getuid?.() ?? 0,
    initUid: uidOf(1),
    initName: read('/proc/1/comm')?.trim() ?? null,
    rootFileSystem: rootFileSystem(read('/proc/self/mountinfo') ?? ''),
    hasContainerMark:
      read('/.dockerenv') !== null ||
      read('/run/.containerenv') !== null ||
      hosts.startsWith('# Kubernetes-managed hosts file'),
  };
}

/** Of the topmost mount at `/`: a later line covers an earlier one. */
export function rootFileSystem(mountinfo: string): string | null {
  const roots = mountinfo.split('\n').filter((line) => line.split(' ')[4] === '/');
  return / - (\S+) /.exec(roots.at(-1) ?? '')?.[1] ?? null;
}

export type OtherProcesses = {
  /** Every process that this one may signal, but itself and pid 1, in one step that no fork escapes. */
  readonly killAll: () => void;
  /** Those of them that are left; the dead that nobody has fetched are not. */
  readonly left: () => readonly number[];
};

/**
 * Before an agent of this life has started: the processes of a container end with its pid 1, so who runs now is no
 * agent's, but somebody's who was put beside us.
 */
export function hasCompany(others: OtherProcesses = ofThisNamespace): boolean {
  return others.left().length > 0;
}

const goneWithinMs = 2_000;
const lookEveryMs = 20;

/** For who is alone, and for nobody else. Rejects when something outlives it. */
export async function endOthers(clock: Clock, others: OtherProcesses = ofThisNamespace): Promise<void> {
  const giveUpAtMs = clock.monotonicMs() + goneWithinMs;
  while (others.left().length > 0) {
    if (clock.monotonicMs() >= giveUpAtMs)
      throw new ServiceError('internal', {}, { message: 'processes that an agent left cannot be ended' });
    others.killAll();
    await new Promise<void>((resolve) => clock.after(lookEveryMs, resolve));
  }
}

const ofThisNamespace: OtherProcesses = {
  killAll: () => {
    try {
      process.kill(-1, 'SIGKILL');
    } catch {
      // There is nobody left.
    }
  },
  left: () => {
    const uid = process.getuid?.() ?? 0;
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== 1 && pid !== process.pid && uidOf(pid) === uid);
  },
};

/** null for one that is gone, or is dead and not fetched. */
function uidOf(pid: number): number | null {
  const status = read(`/proc/${pid}/status`);
  if (status === null || /^State:\s+[ZX]/m.test(status)) return null;
  const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
  return uid === undefined ? null : Number(uid);
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
