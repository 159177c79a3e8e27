// The metrics of an embedded fleet: its own, and those that only the model proxy's process can count.

import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';

const countedByProxy = 'codex_fleet_model_';

export function withModelMetrics(metrics: Metrics, proxyMetrics: () => Promise<string>, logger: Logger): Metrics {
  return {
    ...metrics,
    render: async () => {
      const [own, proxys] = await Promise.all([
        metrics.render(),
        // A proxy that is being restarted costs its own lines, not the whole answer.
        proxyMetrics().catch((error: unknown) => {
          logger.warn(
            { event: 'model_metrics_missing', err: error },
            'the metrics of the model proxy could not be read',
          );
          return '';
        }),
      ]);
      const isProxys = (line: string): boolean => line.replace(/^# (HELP|TYPE) /, '').startsWith(countedByProxy);
      const lines = [
        ...own.body.split('\n').filter((line) => line !== '' && !isProxys(line)),
        ...proxys.split('\n').filter(isProxys),
      ];
      return { contentType: own.contentType, body: `${lines.join('\n')}\n` };
    },
  };
}
