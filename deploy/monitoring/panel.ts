// What a panel of the dashboard is, and queries that many of them ask.

export type Unit = 'count' | 'per_second' | 'ratio' | 'seconds' | 'bytes' | 'usd';
export type Query = {
  readonly expr: string;
  /** Labels as {{label}}. */
  readonly legend: string;
};
export type Panel = {
  readonly title: string;
  readonly what: string;
  readonly kind: 'number' | 'lines' | 'stacked';
  readonly unit: Unit;
  readonly queries: readonly Query[];
};
export type Row = { readonly title: string; readonly panels: readonly Panel[] };

export const one = (expr: string, legend = ''): readonly Query[] => [{ expr, legend }];

export function quantiles(metric: string, more = ''): readonly Query[] {
  return ['0.5', '0.95', '0.99'].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket${more}[5m])))`,
    legend: `p${Number(quantile) * 100}`,
  }));
}
