// A clock that all processes of one host share and nobody can set: it counts from the start of the
// machine. Without the name of that start its readings mean nothing.

import { readFileSync } from 'node:fs';

export type HostTime = {
  /** Another one after each start of the machine; empty where the system does not say. */
  readonly bootId: string;
  monotonicMs(): number;
};

export function hostTime(): HostTime {
  const bootId = readBootId();
  return { bootId, monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n) };
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
