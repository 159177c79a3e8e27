// Checks of the machine itself: its clock, its size, and whether its kernel lets us make namespaces.

import { readFile } from 'node:fs/promises';
import type { Clock } from '../core/clock.ts';
import { ok, warn, fail, type Check } from './doctor-check.ts';

const GiB = 1024 ** 3;
/** A busy Codex process: its own memory after some turns, and what its commands need beside it. */
const bytesPerSlot = GiB / 4;
const clockTrialMs = 250;
const mostDriftMs = 50;
const plausibleYears = { first: 2025, last: 2099 };

export async function checkClock(clock: Clock): Promise<Check> {
  const wallMs = clock.now();
  const year = new Date(wallMs).getUTCFullYear();
  const advice = 'set the clock, and let NTP keep it';
  if (year < plausibleYears.first || year > plausibleYears.last) {
    return fail('clock', `the clock says that it is the year ${year}: certificates and ids would be wrong`, advice);
  }
  const monotonicMs = clock.monotonicMs();
  await new Promise<void>((resolve) => clock.after(clockTrialMs, resolve));
  const driftMs = Math.abs(clock.now() - wallMs - (clock.monotonicMs() - monotonicMs));
  if (driftMs > mostDriftMs) {
    return warn('clock', `the clock was moved by ${Math.round(driftMs)} ms within ${clockTrialMs} ms`, advice);
  }
  return ok('clock', `${new Date(wallMs).toISOString()}, and steady`);
}

export function checkResources(cores: number, memoryBytes: number, slots: number): Check {
  const size = `${cores} ${cores === 1 ? 'core' : 'cores'}, ${(memoryBytes / GiB).toFixed(1)} GiB for ${slots} ${slots === 1 ? 'slot' : 'slots'}`;
  if (memoryBytes < GiB / 2)
    return fail('resources', `${size}: too little memory for a fleet`, 'give it at least 1 GiB');
  if (memoryBytes < GiB / 2 + slots * bytesPerSlot) {
    return warn('resources', `${size}: memory may run out`, 'choose fewer with --slots, or add memory');
  }
  return ok('resources', size);
}

const kernelSettings = [
  ['/proc/sys/user/max_user_namespaces', '0', 'sysctl user.max_user_namespaces=10000'],
  ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'sysctl kernel.unprivileged_userns_clone=1'],
  [
    '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows it',
  ],
] as const;

/** The cage's own check says whether it works; this one says which setting stands in its way. */
export async function checkUserNamespaces(
  readSetting: (file: string) => Promise<string | null> = readIfPresent,
): Promise<Check> {
  for (const [file, forbidding, advice] of kernelSettings) {
    const value = (await readSetting(file))?.trim();
    if (value === forbidding)
      return warn('user_namespaces', `${file} is ${value}: the kernel refuses user namespaces`, advice);
  }
  return ok('user_namespaces', 'no kernel setting forbids them');
}

async function readIfPresent(file: string): Promise<string | null> {
  return await readFile(file, 'utf8').catch(() => null);
}
