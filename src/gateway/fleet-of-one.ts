// A fleet that is one worker, for gateways that have it beside them.

import type { WorkerLink } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { FleetControl } from './gateway-parts.ts';

/** `drain` begins its drain; null where that is nobody's to ask. */
export function fleetOfOne(worker: WorkerLink, drain: (() => void) | null): FleetControl {
  return {
    workers: async () => [await worker.status()],
    drainWorker: async (id) => {
      if ((await worker.status()).id !== id) throw new ServiceError('worker_not_found', { worker: id });
      if (drain === null)
        throw new ServiceError('forbidden', {}, { message: 'This worker is stopped with its fleet.' });
      drain();
    },
  };
}
