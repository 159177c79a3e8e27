// Overlays as the product renders them, and copies of deploy/ to change.

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runKubectl } from '../../src/deploy/kubectl.ts';
import { type RenderedOverlay, renderOverlay } from '../../src/deploy/overlays.ts';
import { isKubectlInstalled, missingKubectl } from './render.ts';

const deployDir = path.resolve(import.meta.dirname, '..', '..', 'deploy');

/** What a test's `skip` wants: false, or why. */
export function withoutKubectl(): string | false {
  return isKubectlInstalled() ? false : missingKubectl;
}

/** By the name of an overlay, or by directory. */
export function rendered(overlay: string): Promise<RenderedOverlay> {
  return renderOverlay(runKubectl, overlay);
}

/** A copy of deploy/ to change; removed afterwards. */
export async function withDeployCopy<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(tmpdir(), 'fleet-deploy-'));
  try {
    for (const part of ['base', 'components', 'overlays', 'monitoring']) {
      await cp(path.join(deployDir, part), path.join(dir, part), { recursive: true });
    }
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
