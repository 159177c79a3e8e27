// Metrics that autoscalers, rules and dashboards name: each is one that the product has, with labels that it
// has, and of a kind that can be used so.

import { createMetrics } from '../../../src/observability/metrics.ts';
import { type Matcher, type ParsedExpression, parseExpression } from '../promql.ts';
import { contentOf } from './environment.ts';
import { field, listAt, nameOf, ofKind, textAt } from './objects.ts';
import type { KubeObject, Rendered } from './objects.ts';
import type { Policy } from './policy.ts';

type Known = { readonly type: string; readonly labels: Readonly<Record<string, readonly string[]>> };
const known: ReadonlyMap<string, Known> = new Map(
  // With those of Node and of the process, which every role adds.
  createMetrics({ processMetrics: true })
    .describe()
    .map(({ labels, name, type }) => [name, { type, labels }]),
);

/** What Prometheus, Kubernetes and Google add by themselves. */
const fromElsewhere =
  /^(up|scrape_[a-z_]+|ALERTS|kube_[a-z_]+|container_[a-z_]+|[a-z]+_(googleapis_com|io):.+|(?!prometheus\.)[a-z]+\.(googleapis\.com|io)\/.+)$/;
const targetLabels = new Set([
  '__name__',
  'cluster',
  'container',
  'instance',
  'job',
  'le',
  'location',
  'namespace',
  'node',
  'pod',
  'project_id',
  'top_level_controller_name',
  'top_level_controller_type',
]);

type Found = { readonly name: string; readonly metric: Known };

/** A series back to its metric: `x_bucket` to the histogram `x`, GMP's `prometheus.googleapis.com/x/gauge` to `x`. */
function metricOf(series: string): Found | null {
  const plain =
    /^prometheus\.googleapis\.com[/|](.+)[/|](?:gauge|counter|histogram|summary|unknown)$/.exec(series)?.[1] ?? series;
  const direct = known.get(plain);
  if (direct !== undefined) return { name: plain, metric: direct };
  const base = plain.replace(/_(bucket|sum|count)$/, '');
  const histogram = known.get(base);
  return base !== plain && histogram?.type === 'histogram' ? { name: base, metric: histogram } : null;
}

/** What is wrong with a query, in words; `recorded` are the series that rules make. */
export function queryProblems(text: string, recorded: ReadonlySet<string>): string[] {
  const parsed = parsedOrWhy(text);
  if (typeof parsed === 'string') return [parsed];
  const labels = new Set(targetLabels);
  const problems = parsed.selectors.flatMap(({ matchers, series }) => {
    if (recorded.has(series) || fromElsewhere.test(series)) {
      for (const { label } of matchers) labels.add(label);
      return [];
    }
    const found = metricOf(series);
    if (found === null) return [`there is no metric ${series}`];
    for (const label of Object.keys(found.metric.labels)) labels.add(label);
    // Labels of prom-client's own metrics are not described.
    return /^(nodejs|process)_/.test(found.name) ? [] : matchers.flatMap((matcher) => matcherProblems(found, matcher));
  });
  const isOurs = parsed.selectors.every(({ series }) => !recorded.has(series) && !fromElsewhere.test(series));
  const unknown = isOurs ? parsed.groupLabels.filter((label) => !labels.has(label)) : [];
  return [...problems, ...unknown.map((label) => `no series here has the label ${label}`)];
}

function parsedOrWhy(text: string): ParsedExpression | string {
  try {
    return parseExpression(text);
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}

function matcherProblems({ metric, name }: Found, { label, values }: Matcher): string[] {
  if (targetLabels.has(label)) return [];
  const allowed = metric.labels[label];
  if (allowed === undefined) return [`${name} has no label ${label}`];
  // Where a label's values are not from a list, words stand for them.
  if (allowed.some((value) => value.includes(' '))) return [];
  return values
    .filter((value) => /^\w+$/.test(value) && !allowed.includes(value))
    .map(
      (value) => `${name}: the label ${label} is never ${JSON.stringify(value)}; it is one of ${allowed.join(', ')}`,
    );
}

type Asked = { readonly where: string; readonly query: string };

/** Every query in a tree: rules, dashboards of Grafana and of Cloud Monitoring. */
export function queriesIn(value: unknown, where = ''): Asked[] {
  if (Array.isArray(value)) return value.flatMap((inner, index) => queriesIn(inner, `${where}[${index}]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = where === '' ? key : `${where}.${key}`;
    if (typeof inner !== 'string' || !['expr', 'prometheusQuery', 'promql', 'query'].includes(key))
      return queriesIn(inner, at);
    // Grafana's own: label_values(metric, label).
    const listed = /^label_values\(\s*(.+?)\s*,\s*\w+\s*\)$/s.exec(inner)?.[1];
    return /^label_values\(\s*\w+\s*\)$/.test(inner) ? [] : [{ where: at, query: withoutVariables(listed ?? inner) }];
  });
}

/** `$__rate_interval` and `$role` of dashboards are not PromQL before Grafana has filled them in. */
function withoutVariables(query: string): string {
  return query
    .replaceAll(/\$\{?__(rate_)?interval\}?/g, '5m')
    .replaceAll(/\$\{?__range\}?/g, '1h')
    .replaceAll(/\$\{?[a-z_]+(:[a-z]+)?\}?/gi, '.+');
}

export function recordedIn(value: unknown): Set<string> {
  const names = new Set<string>();
  const visit = (inner: unknown): void => {
    if (Array.isArray(inner)) for (const each of inner) visit(each);
    else if (typeof inner === 'object' && inner !== null) {
      const record = textAt(inner, 'record');
      if (record !== null && textAt(inner, 'expr') !== null) names.add(record);
      for (const each of Object.values(inner)) visit(each);
    }
  };
  visit(value);
  return names;
}

const ruleKinds = ['Rules', 'ClusterRules', 'GlobalRules', 'PrometheusRule'];

function recordedBy(rendered: Rendered): Set<string> {
  return recordedIn(ofKind(rendered, ...ruleKinds));
}

function wordsFor(object: KubeObject, queries: readonly Asked[], recorded: ReadonlySet<string>): string[] {
  return queries.flatMap(({ query, where }) =>
    queryProblems(query, recorded).map((words) => `${nameOf(object)}: ${where}: ${words}`),
  );
}

/** Dashboards carried in config maps. */
function dashboards(rendered: Rendered): { readonly object: KubeObject; readonly queries: readonly Asked[] }[] {
  return ofKind(rendered, 'ConfigMap').flatMap((object) =>
    Object.entries(contentOf(object)).flatMap(([key, text]) =>
      key.endsWith('.json') ? [{ object, queries: queriesIn(JSON.parse(text), key) }] : [],
    ),
  );
}

export const metricsPolicy: Policy = {
  name: 'metrics',
  promise: 'every metric in an autoscaler, a rule or a dashboard is one that the product has',
  rules: [
    {
      name: 'autoscaling-gauges',
      check: (rendered) =>
        ofKind(rendered, 'AutoscalingMetric').flatMap((object) =>
          listAt(object, 'spec', 'metrics')
            .flatMap((metric) => listAt(metric, 'pod', 'containers'))
            .flatMap((container) => listAt(container, 'metrics'))
            .map((metric) => textAt(metric, 'gauge', 'prometheusMetricName') ?? textAt(metric, 'gauge', 'name') ?? '')
            .filter((name) => known.get(name)?.type !== 'gauge')
            .map(
              (name) =>
                `${nameOf(object)}: ${name} is ${known.get(name)?.type ?? 'no metric of ours'}; only gauges can be scaled by`,
            ),
        ),
    },
    {
      name: 'autoscaling-queries',
      check: (rendered) =>
        ofKind(rendered, 'AutoscalingMetric').flatMap((object) =>
          wordsFor(object, queriesIn(field(object, 'spec'), 'spec'), recordedBy(rendered)),
        ),
    },
    {
      name: 'autoscalers',
      check: (rendered) =>
        ofKind(rendered, 'HorizontalPodAutoscaler').flatMap((object) =>
          listAt(object, 'spec', 'metrics')
            .map(
              (metric) =>
                textAt(metric, 'pods', 'metric', 'name') ??
                textAt(metric, 'external', 'metric', 'name') ??
                textAt(metric, 'object', 'metric', 'name'),
            )
            .filter(
              (name) =>
                name !== null &&
                !name.startsWith('autoscaling.gke.io|') &&
                !/^[a-z]+\.googleapis\.com\|(?!.*\|gauge$)/.test(name),
            )
            .filter((name) => metricOf(name ?? '')?.metric.type !== 'gauge')
            .map((name) => `${nameOf(object)}: ${name}: there is no such gauge`),
        ),
    },
    {
      name: 'rules',
      check: (rendered) =>
        ofKind(rendered, ...ruleKinds).flatMap((object) =>
          wordsFor(object, queriesIn(field(object, 'spec'), 'spec'), recordedBy(rendered)),
        ),
    },
    {
      name: 'dashboards',
      check: (rendered) =>
        dashboards(rendered).flatMap(({ object, queries }) => wordsFor(object, queries, recordedBy(rendered))),
    },
  ],
};
