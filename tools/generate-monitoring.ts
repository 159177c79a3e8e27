// Writes the rules and dashboards of deploy/monitoring from their one source. With --check it writes nothing and
// fails on any difference.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fleetDashboard } from '../deploy/monitoring/dashboard.ts';
import { cloudDashboard } from '../deploy/monitoring/render-cloud-dashboard.ts';
import { grafanaDashboard } from '../deploy/monitoring/render-grafana.ts';
import {
  kustomizationFile,
  managedObject,
  operatorObject,
  prometheusFile,
  writtenGroups,
  yamlFile,
} from '../deploy/monitoring/render-rules.ts';
import { ruleGroups } from '../deploy/monitoring/rules.ts';
import { settings } from '../deploy/monitoring/settings.ts';

export const generatedDir = 'deploy/monitoring/generated';

/** Path from the repository's root → text. */
export function renderMonitoring(): Map<string, string> {
  const groups = writtenGroups(ruleGroups(settings), settings);
  const dashboard = fleetDashboard(settings);
  const file = (name: string, text: string): [string, string] => [`${generatedDir}/${name}`, text];
  return new Map([
    file('prometheus/codex-fleet.rules.yaml', prometheusFile(groups)),
    file('operator/prometheus-rule.yaml', yamlFile(operatorObject(groups))),
    file('operator/kustomization.yaml', kustomizationFile('prometheus-rule.yaml')),
    file('gmp/rules.yaml', yamlFile(managedObject(groups))),
    file('gmp/kustomization.yaml', kustomizationFile('rules.yaml')),
    file('grafana/codex-fleet.json', jsonFile(grafanaDashboard(dashboard))),
    file('cloud-monitoring/codex-fleet.json', jsonFile(cloudDashboard(dashboard))),
  ]);
}

/** Paths below `root` whose text is missing, another, or of nothing that is generated. */
export function findMonitoringDrift(expected: ReadonlyMap<string, string>, root: string): string[] {
  const changed = [...expected].filter(([path, text]) => textAt(join(root, path)) !== text).map(([path]) => path);
  return [...changed, ...filesBelow(root).filter((path) => !expected.has(path))];
}

function filesBelow(root: string): string[] {
  const dir = join(root, generatedDir);
  if (!existsSync(dir)) return [];
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** As the formatter of the repository has it: a list of one short text stands in one line. */
function jsonFile(content: unknown): string {
  return `${JSON.stringify(content, null, 2).replaceAll(/\[\n\s+("[^"\n]{1,60}")\n\s+\]/g, '[$1]')}\n`;
}

function textAt(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

function main(args: readonly string[]): number {
  const root = join(import.meta.dirname, '..');
  const files = renderMonitoring();
  if (args.includes('--check')) {
    const drift = findMonitoringDrift(files, root);
    for (const path of drift) process.stderr.write(`${path} is not what deploy/monitoring says\n`);
    if (drift.length > 0) process.stderr.write('run: node tools/generate-monitoring.ts\n');
    return drift.length > 0 ? 1 : 0;
  }
  for (const [path, text] of files) {
    const target = join(root, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
