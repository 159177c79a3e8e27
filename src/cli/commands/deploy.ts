// `codex-fleet deploy`: an overlay as it would be applied, and how a cluster compares with it. Nothing is applied
// here: that is for kubectl, or for what keeps a cluster in step with a repository.

import { type Kubectl, KubectlMissing } from '../../deploy/kubectl.ts';
import { ClusterUnreachable, fleetStatus, type WorkloadStatus } from '../../deploy/fleet-status.ts';
import { OverlayNotRendered, type RenderedOverlay, renderOverlay } from '../../deploy/overlays.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodes, type ExitCode } from '../exit-codes.ts';
import { textTable } from '../table.ts';

export type RenderOptions = { readonly allowUnset?: boolean };

export async function runDeployRender(context: CliContext, overlay: string, options: RenderOptions): Promise<ExitCode> {
  const { text, unset } = await rendered(context.kubectl, overlay);
  if (unset.length > 0 && options.allowUnset !== true) {
    throw new CliError(
      exitCodes.usage,
      `${overlay} is not filled in:\n${unset.map((what) => `  ${what}\n`).join('')}--allow-unset prints it all the same`,
    );
  }
  await context.stdout.write(text);
  return exitCodes.completed;
}

export type StatusOptions = { readonly context?: string; readonly json?: boolean };

export async function runDeployStatus(context: CliContext, overlay: string, options: StatusOptions): Promise<ExitCode> {
  const { manifests } = await rendered(context.kubectl, overlay);
  const workloads = await explained(() =>
    fleetStatus({ kubectl: context.kubectl, manifests, context: options.context ?? null }),
  );
  const isWell = workloads.every(({ problem }) => problem === null);
  await context.stdout.write(
    options.json === true ? `${JSON.stringify({ ok: isWell, workloads }, null, 2)}\n` : statusTable(workloads),
  );
  return isWell ? exitCodes.completed : exitCodes.turnFailed;
}

function statusTable(workloads: readonly WorkloadStatus[]): string {
  return textTable(
    ['WORKLOAD', 'READY', 'UPDATED', 'STATE'],
    workloads.map(({ name, problem, ready, updated, wanted }) => [
      name,
      `${ready}/${wanted ?? 0}`,
      `${updated}/${wanted ?? 0}`,
      problem ?? 'as it should be',
    ]),
  );
}

export async function rendered(kubectl: Kubectl, overlay: string): Promise<RenderedOverlay> {
  return await explained(() => renderOverlay(kubectl, overlay));
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OverlayNotRendered) throw new CliError(exitCodes.usage, error.message, { cause: error });
    if (error instanceof KubectlMissing || error instanceof ClusterUnreachable) {
      throw new CliError(exitCodes.unreachable, error.message, { cause: error });
    }
    throw error;
  }
}
