// Prometheus metrics whose labels come from closed lists: a value that is not on the list does not
// compile, and each combination of a counter or gauge exists at zero from the start.

import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

type LabelLists = Readonly<Record<string, readonly string[]>>;
export type LabelsOf<L extends LabelLists> = { readonly [K in keyof L]: L[K][number] };

type MetricTexts = { readonly name: string; readonly help: string };

/** What each label of a metric may be, by the metric's name; for the reference page. */
const labelValues = new WeakMap<Registry, Map<string, LabelLists>>();

export type MetricDescription = {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: LabelLists;
};

/** Everything in the registry, in the order of making. */
export function describeRegistry(registry: Registry): MetricDescription[] {
  const lists = labelValues.get(registry);
  return registry.getMetricsAsArray().map((metric) => {
    const { name, help } = metric as unknown as MetricTexts;
    const type = metric instanceof Counter ? 'counter' : metric instanceof Gauge ? 'gauge' : 'histogram';
    return { name, type, help, labels: lists?.get(name) ?? {} };
  });
}

/** What the reference page says of a metric's labels; for one whose values are not from a list, words. */
export function rememberLabels(registry: Registry, name: string, lists: LabelLists): void {
  const known = labelValues.get(registry) ?? new Map<string, LabelLists>();
  labelValues.set(registry, known.set(name, lists));
}

export interface LabelledCounter<Labels> {
  inc(labels: Labels, by?: number): void;
}

export interface LabelledGauge<Labels> {
  set(labels: Labels, value: number): void;
  /** A negative `by` counts down. */
  inc(labels: Labels, by?: number): void;
}

export interface LabelledHistogram<Labels> {
  observe(labels: Labels, value: number): void;
}

export function labelledCounter<const L extends LabelLists>(
  registry: Registry,
  texts: MetricTexts,
  lists: L,
): LabelledCounter<LabelsOf<L>> {
  rememberLabels(registry, texts.name, lists);
  const counter = new Counter({ ...texts, labelNames: Object.keys(lists), registers: [registry] });
  for (const labels of combinations(lists)) counter.inc(labels, 0);
  return { inc: (labels, by = 1) => counter.inc({ ...labels }, by) };
}

export function labelledGauge<const L extends LabelLists>(
  registry: Registry,
  texts: MetricTexts,
  lists: L,
): LabelledGauge<LabelsOf<L>> {
  rememberLabels(registry, texts.name, lists);
  const gauge = new Gauge({ ...texts, labelNames: Object.keys(lists), registers: [registry] });
  for (const labels of combinations(lists)) gauge.set(labels, 0);
  return {
    set: (labels, value) => gauge.set({ ...labels }, value),
    inc: (labels, by = 1) => gauge.inc({ ...labels }, by),
  };
}

/** Not at zero from the start: a dozen buckets for each combination would fill the page. */
export function labelledHistogram<const L extends LabelLists>(
  registry: Registry,
  texts: MetricTexts & { readonly buckets: readonly number[] },
  lists: L,
): LabelledHistogram<LabelsOf<L>> {
  rememberLabels(registry, texts.name, lists);
  const histogram = new Histogram({
    ...texts,
    buckets: [...texts.buckets],
    labelNames: Object.keys(lists),
    registers: [registry],
  });
  return { observe: (labels, value) => histogram.observe({ ...labels }, value) };
}

function combinations(lists: LabelLists): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [name, values] of Object.entries(lists)) {
    all = all.flatMap((labels) => values.map((value) => ({ ...labels, [name]: value })));
  }
  return all;
}
