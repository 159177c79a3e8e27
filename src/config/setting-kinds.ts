// Kinds of settings that many groups have, and the units that their limits are written in.

import { z } from 'zod';
import { setting } from './setting.ts';
import type { SettingFacts } from './setting.ts';

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** The longest delay that Node's timers take. */
export const longestTimerMs = 2_147_483_647;

export const count = (min: number, max: number, initial: number, facts: SettingFacts): z.ZodDefault<z.ZodInt> =>
  setting('number', z.int().min(min).max(max).default(initial), facts);
export const durationMs = (min: number, max: number, initial: number, facts: SettingFacts): z.ZodDefault<z.ZodInt> =>
  setting('number', z.int().min(min).max(max).default(initial), facts, 'ms');
export const bytes = (min: number, max: number, initial: number, facts: SettingFacts): z.ZodDefault<z.ZodInt> =>
  setting('number', z.int().min(min).max(max).default(initial), facts, 'bytes');
export const port = (initial: number, facts: SettingFacts): z.ZodDefault<z.ZodInt> =>
  setting('number', z.int().min(0).max(65_535).default(initial), facts);
export const httpUrl = z.url({ protocol: /^https?$/, error: 'an http:// or https:// URL' });
