// Codex on this machine: the installed binary, what cage can be made for it, and how a slot's process is
// started. Refuses to go on without a cage where the operator did not allow that.

import { existsSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { type AgentProcess, startAgent } from '../codex/agent-process.ts';
import { locateCodex } from '../codex/binary.ts';
import { createHomeTemplate } from '../codex/home-template.ts';
import type { ModelUpstream } from '../codex/model-door.ts';
import { probeIsolation } from '../codex/probe.ts';
import type { Config } from '../config/resolve.ts';
import type { IsolationReport } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import { refusal } from '../protocol/policy.ts';
import type { ServerRequest } from '../protocol/generated/ServerRequest.ts';
import type { Slot } from '../worker/slot.ts';
import { type DiskReserve, freeBytesAt } from './disk-reserve.ts';
import { fleetVersion } from './version.ts';

export type CodexRuntime = {
  readonly version: string;
  readonly isolation: IsolationReport;
  /** false where the end of an agent is not the end of all that it started. */
  readonly endsWhole?: boolean;
  readonly startAgent: (slot: Slot) => Promise<AgentProcess>;
};

export type CodexRuntimeOptions = {
  readonly config: Config;
  /** On the file system of the workspaces, out of every cage's sight. */
  readonly dir: string;
  readonly modelUpstream: ModelUpstream;
  /** Of the disk that `dir` and the slots are on. */
  readonly reserve: DiskReserve;
  /** No cage can be made, and that is allowed. Before anything that an earlier run left is used. */
  readonly onUncaged?: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A template, while it is made. */
const templateBytes = 2 * 1024 * 1024;

const startDeadlineMs = 20_000;
/** Longer than the model proxy's own, so that it is the one to say what was late. */
const streamIdleTimeoutMs = 330_000;

export async function prepareCodex(options: CodexRuntimeOptions): Promise<CodexRuntime> {
  const { clock, config, dir, logger, modelUpstream, reserve } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const binary = await locateCodex();
  const { isolation, report } = await probeIsolation({
    binary,
    workDir: path.join(dir, 'probe'),
    readOnlyPaths: config.cage.readOnlyPaths,
    network: config.cage.network,
    clock,
    logger,
  });
  if (report.cage === 'none' && !config.cage.allowNone) {
    throw new ServiceError(
      'agent_start_failed',
      {},
      {
        message: `no cage can be made here, and cage.allow_none is not set: ${report.cageProblem ?? 'no reason given'}`,
      },
    );
  }
  if (report.cage === 'own-root') await assertOutOfSight(config);
  else await options.onUncaged?.();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const shared = {
    binary,
    isolation,
    config: { model: config.model.name, streamIdleTimeoutMs, fleetVersion },
    modelUpstream,
    heartbeatLimitMs: config.worker.heartbeatLimitMs,
    startDeadlineMs,
    clock,
    logger,
  };
  const templateDir = path.join(dir, 'home-template');
  const isKept = (await freeBytesAt(dir)) < templateBytes && existsSync(templateDir);
  // On a full disk that of the run before has to do: Codex brings what is in it up to date by itself.
  const homeTemplate = isKept ? templateDir : await createHomeTemplate(templateDir, shared);
  return {
    version: binary.version,
    isolation: report,
    endsWhole: isolation.kind === 'cage' || isolation.pidNamespacePrefix.length > 0,
    startAgent: async (slot) => {
      // What is left is for those that run: a Codex of its own would take it.
      if (reserve.isLow) throw new ServiceError('storage_full');
      const starting = startAgent({
        ...shared,
        homeTemplate,
        slotDir: slot.dir,
        onNotification: (notification, line) => slot.listener?.onNotification(notification, line),
        onServerRequest: async (request, signal) =>
          (await slot.listener?.onServerRequest(request, signal)) ?? refusal(request as ServerRequest),
      });
      return await starting.catch(async (error: unknown) => {
        throw (await reserve.isDiskFull()) ? new ServiceError('storage_full', {}, { cause: error }) : error;
      });
    },
  };
}

/** All that lies below these can be read by every session: the token and the files of the others must not. */
async function assertOutOfSight({ cage, dataDir, model }: Config): Promise<void> {
  const shown = await Promise.all(['/usr', ...cage.readOnlyPaths].map((dir) => realpath(dir).catch(() => dir)));
  for (const kept of [dataDir, model.apiKeyFile]) {
    if (kept === null) continue;
    const place = await realpath(kept).catch(() => path.resolve(kept));
    const dir = shown.find((one) => place === one || place.startsWith(`${one}/`));
    if (dir === undefined) continue;
    const message = `${kept} lies below ${dir}, which every session can read; move it elsewhere`;
    throw new ServiceError('agent_start_failed', {}, { message });
  }
}
