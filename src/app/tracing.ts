// Tracing, where the settings name a collector; its library is loaded only then.

import type { Config } from '../config/resolve.ts';
import { noTracing, type Tracing } from '../observability/tracing.ts';
import { fleetVersion } from './version.ts';

export type TracedRole = 'embedded' | 'gateway' | 'worker' | 'session-manager' | 'model-proxy';

type TracingSettings = Pick<Config, 'tracing'> & { readonly worker: Pick<Config['worker'], 'id'> };

export async function openTracing({ tracing, worker }: TracingSettings, role: TracedRole): Promise<Tracing> {
  if (tracing.endpoint === null) return noTracing;
  const { openOtelTracing } = await import('../observability/otel-tracing.ts');
  // A worker's name is the host's unless it was given one: good for the others as well.
  return openOtelTracing({
    endpoint: tracing.endpoint,
    samplePercent: tracing.samplePercent,
    role,
    instance: worker.id,
    version: fleetVersion,
  });
}
