// What a comparison came to: ours against the baseline, the baseline against itself, the bar, and the
// word for it. A bar is never called met or missed on a machine on which A differs from A.

import type { Rounds } from './interleave.ts';
import { deviation, median, quantile } from './statistics.ts';

export type Bar = { readonly atMost: number } | { readonly atLeast: number };
export type Verdict = 'met' | 'missed' | 'inconclusive' | 'reported';

export type Finding = {
  readonly what: string;
  readonly unit: string;
  /** Absolute, in the unit of the samples; null where there is none to compare with. */
  readonly baseline: number | null;
  readonly ours: number;
  /** What the bar speaks of: a difference, a ratio, or `ours` itself. */
  readonly value: number;
  /** Median absolute deviation of the value over rounds. */
  readonly spread: number;
  /** The value when the baseline is compared with itself: its distance from nothing is the noise. */
  readonly control: number;
  /** How far the control itself may be off, from its own spread over rounds. */
  readonly controlError: number;
  /** 0 for differences, 1 for ratios. */
  readonly controlIdeal: number;
  readonly tolerance: number;
  readonly bar: Bar | null;
  readonly samples: number;
};

export type Compared = 'baseline' | 'ours' | 'control';

export type Comparison = {
  readonly what: string;
  readonly unit: string;
  readonly rounds: Rounds<Compared>;
  /** 0.5 for the median, 0.99 for the tail. */
  readonly quantile: number;
  /** `added`: ours − baseline. `times`: baseline ÷ ours. `share`: ours ÷ baseline. */
  readonly as: 'added' | 'times' | 'share';
  readonly bar: Bar | null;
  /** How far the control may be from its ideal; default a quarter of the bar for differences, 0.1 for ratios. */
  readonly tolerance?: number;
};

/** A median is taken in each round; a tail over all samples, since one round has too few for it. */
export function compare(comparison: Comparison): Finding {
  const { as, bar, rounds, unit, what } = comparison;
  const isTail = comparison.quantile > 0.9;
  const of = (samples: readonly number[]): number => quantile(samples, comparison.quantile);
  const perRound = (name: Compared): number[] => rounds[name].map(of);
  const whole = (name: Compared): number => of(rounds[name].flat());
  const relate = (ours: number, baseline: number): number =>
    as === 'added' ? ours - baseline : as === 'times' ? baseline / ours : ours / baseline;
  const baselines = perRound('baseline');
  const related = (name: Compared): number[] =>
    perRound(name).map((value, at) => relate(value, baselines[at] ?? Number.NaN));
  return {
    what,
    unit: as === 'added' ? unit : '×',
    baseline: whole('baseline'),
    ours: whole('ours'),
    value: isTail ? relate(whole('ours'), whole('baseline')) : median(related('ours')),
    spread: deviation(related('ours')),
    control: isTail ? relate(whole('control'), whole('baseline')) : median(related('control')),
    controlError: errorOfMedian(related('control')),
    controlIdeal: as === 'added' ? 0 : 1,
    tolerance:
      comparison.tolerance ?? (as !== 'added' ? 0.1 : bar === null ? Number.POSITIVE_INFINITY : limitOf(bar) / 4),
    bar,
    samples: rounds.ours.flat().length,
  };
}

export type Level = {
  readonly what: string;
  readonly unit: string;
  readonly ours: readonly number[];
  /** The same measured again, round by round. */
  readonly control: readonly number[];
  readonly baseline?: readonly number[];
  readonly bar: Bar | null;
};

/** For bars that speak of ours alone; the control is its distance from itself. */
export function level({ bar, baseline, control, ours, unit, what }: Level): Finding {
  return {
    what,
    unit,
    baseline: baseline === undefined ? null : median(baseline),
    ours: median(ours),
    value: median([...ours, ...control]),
    spread: deviation([...ours, ...control]),
    control: median(control.map((value, at) => value - (ours[at] ?? Number.NaN))),
    controlError: 0,
    controlIdeal: 0,
    tolerance: bar === null ? Number.POSITIVE_INFINITY : limitOf(bar) / 4,
    bar,
    samples: ours.length + control.length,
  };
}

export function verdictOf(finding: Finding): Verdict {
  if (finding.bar === null) return 'reported';
  const noise = Math.abs(finding.control - finding.controlIdeal);
  // A control may come out right by chance, while the rounds were all over the place.
  if (!(Math.max(noise, finding.controlError) <= finding.tolerance)) return 'inconclusive';
  const isMet = 'atMost' in finding.bar ? finding.value <= finding.bar.atMost : finding.value >= finding.bar.atLeast;
  return isMet ? 'met' : 'missed';
}

export function limitOf(bar: Bar): number {
  return 'atMost' in bar ? bar.atMost : bar.atLeast;
}

/** Standard error of a median of normal samples, by their median absolute deviation. */
function errorOfMedian(samples: readonly number[]): number {
  return (1.86 * deviation(samples)) / Math.sqrt(samples.length);
}
