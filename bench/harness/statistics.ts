// Order statistics over samples. No means: one stall of a shared machine would move them.

/** Linear between the two nearest samples; NaN for none. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** Median absolute deviation: half of the samples lie within this distance of the median. */
export function deviation(samples: readonly number[]): number {
  const middle = median(samples);
  return median(samples.map((sample) => Math.abs(sample - middle)));
}

/** The same members in a random order. */
export function shuffled<T>(members: readonly T[]): T[] {
  const rest = [...members];
  for (let last = rest.length - 1; last > 0; last -= 1) {
    const chosen = Math.floor(Math.random() * (last + 1));
    [rest[last], rest[chosen]] = [rest[chosen] as T, rest[last] as T];
  }
  return rest;
}
