// The overlays that come with the program, rendered. What a person has to fill in before they are applied is
// found here: an overlay with a placeholder in it would be applied without a word.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Kubectl } from './kubectl.ts';
import { type Manifest, parseManifests } from './manifest.ts';

export type RenderedOverlay = {
  /** As kubectl printed it. */
  readonly text: string;
  readonly manifests: readonly Manifest[];
  /** What is still to be filled in, in words. */
  readonly unset: readonly string[];
};

export class OverlayNotRendered extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'OverlayNotRendered';
  }
}

/** In a checkout and in the package alike. */
const overlaysDir = path.join(import.meta.dirname, '..', '..', 'deploy', 'overlays');

export async function listOverlays(): Promise<string[]> {
  const entries = await readdir(overlaysDir, { withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).toSorted();
}

/** `overlay`: the name of one of ours, or a directory with a kustomization of one's own. */
export async function renderOverlay(kubectl: Kubectl, overlay: string): Promise<RenderedOverlay> {
  const dir = await directoryOf(overlay);
  const { code, stderr, stdout } = await kubectl(['kustomize', dir]);
  if (code !== 0) throw new OverlayNotRendered(`kubectl could not render ${overlay}: ${stderr.trim()}`);
  return { text: stdout, manifests: parseManifests(stdout), unset: placeholdersIn(stdout) };
}

async function directoryOf(overlay: string): Promise<string> {
  const names = await listOverlays();
  if (names.includes(overlay)) return path.join(overlaysDir, overlay);
  const own = path.resolve(overlay);
  if (existsSync(path.join(own, 'kustomization.yaml'))) return own;
  throw new OverlayNotRendered(
    `there is no overlay ${overlay}: there are ${names.join(', ')}, and any directory with a kustomization.yaml`,
  );
}

/** As the overlays have them: names in capitals, and digests of nothing but zeros. */
const placeholders: readonly (readonly [pattern: RegExp, meaning: string])[] = [
  [/\bPROJECT_ID\b/, 'PROJECT_ID: the Google Cloud project'],
  [/\bPROJECT_NUMBER\b/, 'PROJECT_NUMBER: the number of the Google Cloud project'],
  [/\bREGION-docker\b/, 'REGION: the region of the registry'],
  [/sha256:0{64}/, 'the digests of the images, as the build printed them'],
  [/\bcodex\.example\.com\b/, 'codex.example.com: the host name that clients use'],
];

function placeholdersIn(text: string): string[] {
  return placeholders.flatMap(([pattern, meaning]) => (pattern.test(text) ? [meaning] : []));
}
