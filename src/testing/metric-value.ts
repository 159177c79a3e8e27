// What a metrics page says of one series, written as it stands there.

import type { Metrics } from '../observability/metrics.ts';

/** null when there is no such line. */
export async function metricValue(metrics: Pick<Metrics, 'render'>, series: string): Promise<number | null> {
  const { body } = await metrics.render();
  const line = body.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
}
