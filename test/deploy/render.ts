// Renders what is in deploy/ with the real kustomize in kubectl. Each directory once, all of them side by side.

import { execFile, execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject, Rendered } from './policies/objects.ts';

export const missingKubectl =
  'needs kubectl 1.27 or newer (https://kubernetes.io/docs/tasks/tools/; from the apt repository of Google Cloud: apt-get install kubectl)';

const deployDir = path.resolve(import.meta.dirname, '..', '..', 'deploy');
const overlaysDir = path.join(deployDir, 'overlays');

/** Debian's own is of 2020, and knows no components. */
const oldestMinor = 27;

export function isKubectlInstalled(): boolean {
  try {
    const text = execFileSync('kubectl', ['version', '--client', '--output', 'json'], {
      timeout: 20_000,
      stdio: 'pipe',
    });
    const { clientVersion } = JSON.parse(text.toString('utf8')) as { clientVersion: { minor: string } };
    return Number.parseInt(clientVersion.minor, 10) >= oldestMinor;
  } catch {
    return false;
  }
}

export function overlayNames(): string[] {
  return readdirSync(overlaysDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted();
}

export async function renderOverlay(name: string): Promise<Rendered> {
  return { name, isCloud: name.startsWith('gke-'), addOns: [], objects: await render(path.join(overlaysDir, name)) };
}

/** The base as it stands, which no cloud may show in. */
export async function renderBase(): Promise<Rendered> {
  return { name: 'base', isCloud: false, addOns: [], objects: await render(path.join(deployDir, 'base')) };
}

const combinationsDir = path.join(import.meta.dirname, 'combinations');

/** Overlays with components that no overlay of ours has. */
export function combinationNames(): string[] {
  return readdirSync(combinationsDir).toSorted();
}

export async function renderCombination(name: string): Promise<Rendered> {
  const addOns = name.endsWith('prometheus-operator') ? ['monitoring.coreos.com'] : [];
  return { name, isCloud: name.startsWith('gke-'), addOns, objects: await render(path.join(combinationsDir, name)) };
}

/** Components that are rendered nowhere, and so would be checked by nothing. */
export function unusedComponents(): string[] {
  const directories = [
    ...overlayNames().map((name) => path.join(overlaysDir, name)),
    ...combinationNames().map((name) => path.join(combinationsDir, name)),
  ];
  const text = directories.map((dir) => readFileSync(path.join(dir, 'kustomization.yaml'), 'utf8')).join('\n');
  return readdirSync(path.join(deployDir, 'components')).filter((name) => !text.includes(`/components/${name}\n`));
}

async function render(dir: string): Promise<KubeObject[]> {
  const { stdout } = await promisify(execFile)('kubectl', ['kustomize', dir], {
    maxBuffer: 64 * 1024 ** 2,
    timeout: 60_000,
  });
  return parseObjects(fillIn(stdout));
}

/** What a person fills in before an overlay is applied, as somebody might have. Digests stay as they are. */
function fillIn(text: string): string {
  return text
    .replaceAll(/\bPROJECT_ID\b/g, 'a-project')
    .replaceAll(/\bPROJECT_NUMBER\b/g, '123456789012')
    .replaceAll(/\bREGION-docker\b/g, 'us-central1-docker');
}

export function parseObjects(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = [...document.errors, ...document.warnings];
    if (error !== undefined) throw error;
    const object = document.toJS() as KubeObject | null;
    return object === null ? [] : [object];
  });
}
