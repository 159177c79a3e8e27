// Which series the product exports, and whether an expression names any other: the registry's own description is
// the list, Node's metrics included.

import { createMetrics } from '../../src/observability/metrics.ts';
import { parseExpression, type Selector } from './promql.ts';

export type KnownSeries = ReadonlyMap<string, Readonly<Record<string, readonly string[]>>>;

/** Given to each series by what collects it, whatever that is. */
const targetLabels = ['instance', 'job', 'namespace', 'pod', 'container', 'cluster', 'location', 'project_id'];

export async function productSeries(): Promise<KnownSeries> {
  const metrics = createMetrics({ processMetrics: true });
  // Histograms with labels have no buckets before something was observed.
  metrics.gatewayOverheadSeconds.observe({ part: 'handover' }, 0);
  const { body } = await metrics.render();
  const known = new Map<string, Readonly<Record<string, readonly string[]>>>();
  for (const { labels, name, type } of metrics.describe()) {
    if (type !== 'histogram' || !body.includes(`# TYPE ${name} histogram`)) {
      known.set(name, labels);
      continue;
    }
    const bounds = [...body.matchAll(new RegExp(`^${name}_bucket\\{[^}]*?le="([^"]+)"`, 'gm'))].map(
      ([, le = '']) => le,
    );
    known.set(`${name}_bucket`, { ...labels, le: bounds });
    known.set(`${name}_sum`, labels);
    known.set(`${name}_count`, labels);
  }
  return known;
}

/** In words, one for each name that does not exist; none when all do. `recorded`: series that rules make. */
export function unknownNames(expr: string, known: KnownSeries, recorded: ReadonlySet<string>): string[] {
  const { groupLabels, selectors } = parseExpression(expr);
  const problems = selectors.flatMap((selector) =>
    recorded.has(selector.series) ? [] : problemsOf(selector, known.get(selector.series)),
  );
  const labels = new Set([...targetLabels, ...selectors.flatMap(({ series }) => Object.keys(known.get(series) ?? {}))]);
  return [...problems, ...groupLabels.filter((label) => !labels.has(label)).map((label) => `no series has ${label}`)];
}

function problemsOf({ matchers, series }: Selector, labels: Readonly<Record<string, readonly string[]>> | undefined) {
  if (labels === undefined) return [`there is no ${series}`];
  return matchers.flatMap(({ label, values }) => {
    if (targetLabels.includes(label)) return [];
    const allowed = labels[label];
    if (allowed === undefined) return [`${series} has no label ${label}`];
    return values.filter((value) => !allowed.includes(value)).map((value) => `${series}: ${label} is never ${value}`);
  });
}
