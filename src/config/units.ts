// Quantities as people write them: 30s, 5m, 24h; 16MiB, 600MB. In memory they are milliseconds and bytes.

import type { SettingUnit } from './setting.ts';

const factors: Readonly<Record<SettingUnit, Readonly<Record<string, number>>>> = {
  ms: { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 },
  bytes: {
    b: 1,
    kb: 1000,
    mb: 1000 ** 2,
    gb: 1000 ** 3,
    kib: 1024,
    mib: 1024 ** 2,
    gib: 1024 ** 3,
    k: 1024,
    m: 1024 ** 2,
    g: 1024 ** 3,
  },
};

/** null when the text is no number, or its unit is not one of this kind. */
export function parseQuantity(text: string, unit: SettingUnit | null): number | null {
  const match = /^(-?\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  if (match === null) return null;
  const amount = Number(match[1]);
  const suffix = (match[2] ?? '').toLowerCase();
  if (suffix === '') return amount;
  const factor = unit === null ? undefined : factors[unit][suffix];
  return factor === undefined ? null : Math.round(amount * factor);
}

const steps: Readonly<Record<SettingUnit, readonly (readonly [string, number])[]>> = {
  ms: [
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ],
  bytes: [
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ],
};

/** `1800000 (30 min)`: the number as it is stored, and as a person would say it. */
export function formatQuantity(amount: number, unit: SettingUnit | null): string {
  if (unit === null || amount === 0) return String(amount);
  const step = steps[unit].find(([, size]) => amount % size === 0);
  return step === undefined ? String(amount) : `${amount} (${amount / step[1]} ${step[0]})`;
}
