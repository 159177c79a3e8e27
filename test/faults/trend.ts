// Whether numbers grow, out of noise: the median slope of all pairs (Theil–Sen) and how far such a slope
// strays when nothing grows at all.

import { median } from '../load/measures.ts';

export type Trend = {
  /** Per step. */
  readonly slope: number;
  /** Slopes up to here are nothing: three standard errors, from the spread of what the slope leaves over. */
  readonly noise: number;
};

export function trendOf(values: readonly number[]): Trend {
  const slopes: number[] = [];
  for (const [left, low] of values.entries()) {
    for (const [ahead, high] of values.slice(left + 1).entries()) slopes.push((high - low) / (ahead + 1));
  }
  if (slopes.length === 0) return { slope: 0, noise: 0 };
  const slope = median(slopes);
  const level = median(values.map((value, index) => value - slope * index));
  const spread = 1.4826 * median(values.map((value, index) => Math.abs(value - slope * index - level)));
  // Of a straight line through n evenly spaced points with that spread.
  const error = spread * Math.sqrt(12 / (values.length * (values.length ** 2 - 1)));
  return { slope, noise: 3 * error };
}
