// What commands have in hand instead of the process's globals, so that tests can be the process.

import type { Check } from '../app/doctor-check.ts';
import type { DoctorRole } from '../app/doctor-role.ts';
import type { RunningFleet } from '../app/embedded.ts';
import type { RunningModelProxy } from '../app/model-proxy.ts';
import type { RunningPart } from '../app/running-part.ts';
import type { Config, ConfigRole } from '../config/resolve.ts';
import type { Environment } from '../config/host-facts.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Flags } from '../config/sources.ts';
import type { Clock } from '../core/clock.ts';
import type { Kubectl } from '../deploy/kubectl.ts';
import type { Output } from './output.ts';

/** The composition roots, loaded when a command needs them. */
export type FleetParts = {
  startEmbedded(config: Config): Promise<RunningFleet>;
  startWorker(config: Config): Promise<RunningPart>;
  startGateway(config: Config): Promise<RunningPart>;
  startSessionManager(config: Config): Promise<RunningPart>;
  startModelProxy(config: Config): Promise<RunningModelProxy>;
  /** Of one role; null: of that which this container is for, else of a whole fleet. */
  diagnose(config: Config, role: DoctorRole | null): Promise<readonly Check[]>;
  /** The fleet that runs on the data directory; null when none does. */
  discoverFleet(dataDir: string): Promise<{ readonly url: string; readonly token: string } | null>;
};

export type CliContext = {
  readonly env: Environment;
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly clock: Clock;
  /** Calls back for each request to stop (Ctrl-C, SIGTERM, the reader of stdout gone). The returned function ends it. */
  onInterrupt(listener: () => void): () => void;
  loadConfig(flags: Flags, configFile?: string, role?: ConfigRole): LoadedConfig;
  readonly parts: FleetParts;
  readonly kubectl: Kubectl;
};
