// The dashboard as `gcloud monitoring dashboards create --config-from-file` takes it: PromQL in each widget.

import type { Dashboard } from './dashboard.ts';
import type { Panel, Query, Unit } from './panel.ts';

const units: Readonly<Record<Unit, string>> = {
  count: '1',
  per_second: '1/s',
  ratio: '10^2.%',
  seconds: 's',
  bytes: 'By',
  usd: 'USD',
};

const columns = 48;
const headerHeight = 4;
const size = { number: { width: 12, height: 8 }, lines: { width: 16, height: 16 }, stacked: { width: 16, height: 16 } };

type Tile = {
  readonly xPos: number;
  readonly yPos: number;
  readonly width: number;
  readonly height: number;
  readonly widget: Readonly<Record<string, unknown>>;
};

export function cloudDashboard({ rows, title }: Dashboard): Readonly<Record<string, unknown>> {
  const tiles: Tile[] = [];
  let yPos = 0;
  for (const row of rows) {
    const header = { title: row.title, sectionHeader: { subtitle: '', dividerBelow: true } };
    tiles.push({ xPos: 0, yPos, width: columns, height: headerHeight, widget: header });
    yPos += headerHeight;
    let xPos = 0;
    let tallest = 0;
    for (const panel of row.panels) {
      const { height, width } = size[panel.kind];
      if (xPos + width > columns) {
        xPos = 0;
        yPos += tallest;
        tallest = 0;
      }
      tiles.push({ xPos, yPos, width, height, widget: { title: panel.title, ...chart(panel) } });
      xPos += width;
      tallest = Math.max(tallest, height);
    }
    yPos += tallest;
  }
  return { displayName: title, labels: { 'codex-fleet': '' }, mosaicLayout: { columns, tiles } };
}

function chart({ kind, queries, unit }: Panel): Readonly<Record<string, unknown>> {
  const [first] = queries;
  if (kind === 'number' && first !== undefined) return { scorecard: { timeSeriesQuery: query(first, unit) } };
  return {
    xyChart: {
      chartOptions: { mode: 'COLOR' },
      dataSets: queries.map((one) => ({
        timeSeriesQuery: query(one, unit),
        plotType: kind === 'stacked' ? 'STACKED_AREA' : 'LINE',
        targetAxis: 'Y1',
        // A legend with labels in it is drawn from the labels by itself.
        ...(one.legend === '' || one.legend.includes('{{') ? {} : { legendTemplate: one.legend }),
      })),
      yAxis: { scale: 'LINEAR' },
    },
  };
}

function query({ expr }: Query, unit: Unit): Readonly<Record<string, unknown>> {
  return { prometheusQuery: expr, unitOverride: units[unit] };
}
