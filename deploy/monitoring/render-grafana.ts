// The dashboard as Grafana imports it.

import type { Dashboard } from './dashboard.ts';
import type { Panel, Unit } from './panel.ts';

const units: Readonly<Record<Unit, string>> = {
  count: 'short',
  per_second: 'ops',
  ratio: 'percentunit',
  seconds: 's',
  bytes: 'bytes',
  usd: 'currencyUSD',
};

const columns = 24;
const datasource = { type: 'prometheus', uid: '${datasource}' };
const size = { number: { width: 6, height: 4 }, lines: { width: 8, height: 8 }, stacked: { width: 8, height: 8 } };

export function grafanaDashboard({ rows, title, uid }: Dashboard): Readonly<Record<string, unknown>> {
  const panels: Record<string, unknown>[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: columns, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let tallest = 0;
    for (const panel of row.panels) {
      const { height, width } = size[panel.kind];
      if (x + width > columns) {
        x = 0;
        y += tallest;
        tallest = 0;
      }
      panels.push(grafanaPanel(panel, panels.length + 1, { x, y, w: width, h: height }));
      x += width;
      tallest = Math.max(tallest, height);
    }
    y += tallest;
  }
  return {
    uid,
    title,
    tags: ['codex-fleet'],
    timezone: 'browser',
    schemaVersion: 39,
    version: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {} }],
    },
    panels,
  };
}

type GridPos = { readonly x: number; readonly y: number; readonly w: number; readonly h: number };

function grafanaPanel(panel: Panel, id: number, gridPos: GridPos): Record<string, unknown> {
  const isNumber = panel.kind === 'number';
  const custom = panel.kind === 'stacked' ? { fillOpacity: 30, stacking: { mode: 'normal', group: 'A' } } : {};
  return {
    id,
    type: isNumber ? 'stat' : 'timeseries',
    title: panel.title,
    description: panel.what,
    datasource,
    gridPos,
    fieldConfig: { defaults: { unit: units[panel.unit], ...(isNumber ? {} : { min: 0, custom }) }, overrides: [] },
    options: isNumber ? { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } } : {},
    targets: panel.queries.map(({ expr, legend }, index) => ({
      refId: String.fromCodePoint(65 + index),
      datasource,
      expr,
      legendFormat: legend === '' ? '__auto' : legend,
      range: !isNumber,
      instant: isNumber,
    })),
  };
}
