import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Dashboard, fleetDashboard } from '../../deploy/monitoring/dashboard.ts';
import { cloudDashboard } from '../../deploy/monitoring/render-cloud-dashboard.ts';
import { grafanaDashboard } from '../../deploy/monitoring/render-grafana.ts';
import { settings } from '../../deploy/monitoring/settings.ts';

type Box = { readonly x: number; readonly y: number; readonly w: number; readonly h: number };

const dashboard = fleetDashboard(settings);
const wanted = dashboard.rows.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)));

function overlaps(boxes: readonly Box[], columns: number): string[] {
  const problems = boxes.filter(({ w, x }) => x + w > columns).map((box) => `beyond the edge: ${JSON.stringify(box)}`);
  for (const [index, one] of boxes.entries()) {
    for (const other of boxes.slice(index + 1)) {
      const isBeside = one.x + one.w <= other.x || other.x + other.w <= one.x;
      if (!isBeside && one.y < other.y + other.h && other.y < one.y + one.h)
        problems.push(`on one another at y ${one.y}`);
    }
  }
  return problems;
}

function grafanaParts(source: Dashboard): { boxes: Box[]; exprs: string[] } {
  const { panels } = grafanaDashboard(source) as unknown as {
    readonly panels: readonly { readonly gridPos: Box; readonly targets?: readonly { readonly expr: string }[] }[];
  };
  return {
    boxes: panels.map(({ gridPos }) => gridPos),
    exprs: panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  };
}

function cloudParts(source: Dashboard): { boxes: Box[]; exprs: string[] } {
  const { mosaicLayout } = cloudDashboard(source) as unknown as {
    readonly mosaicLayout: {
      readonly tiles: readonly { xPos: number; yPos: number; width: number; height: number; widget: unknown }[];
    };
  };
  return {
    boxes: mosaicLayout.tiles.map(({ height, width, xPos, yPos }) => ({ x: xPos, y: yPos, w: width, h: height })),
    exprs: [...JSON.stringify(mosaicLayout).matchAll(/"prometheusQuery":("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '']) => JSON.parse(text) as string,
    ),
  };
}

test('both dashboards ask all that the description does, and nothing else', () => {
  assert.deepEqual(grafanaParts(dashboard).exprs, wanted);
  assert.deepEqual(cloudParts(dashboard).exprs, wanted);
});

test('no panel lies on another or beyond the edge, in either', () => {
  assert.deepEqual(overlaps(grafanaParts(dashboard).boxes, 24), []);
  assert.deepEqual(overlaps(cloudParts(dashboard).boxes, 48), []);
  const box = { x: 0, y: 0, w: 8, h: 8 };
  assert.equal(overlaps([box, { ...box, x: 7 }, { ...box, x: 20 }], 24).length, 2);
});

test('each panel says what it shows, and several lines of one are told apart', () => {
  const panels = dashboard.rows.flatMap((row) => row.panels);
  for (const { kind, queries, title, what } of panels) {
    assert.match(what, /[.]$/, title);
    assert.ok(queries.length > 0, title);
    if (kind === 'number') assert.equal(queries.length, 1, title);
    if (queries.length > 1) assert.equal(new Set(queries.map(({ legend }) => legend)).size, queries.length, title);
  }
  const titles = dashboard.rows.flatMap((row) => row.panels.map(({ title }) => title));
  assert.equal(new Set(titles).size, titles.length);
});
