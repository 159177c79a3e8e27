// Google's services of a test, and the ways to harm them: each with its end, after which they answer as before.
// The Firestore emulator forgets everything when it ends. What it holds must survive here, so it is never ended but
// paused, cut off and made to answer errors; the local Cloud Storage keeps its objects, and is stopped and started.

import type { TestContext } from 'node:test';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { FirestoreProxy, type ProxiedMethod, type ProxyFault } from '../../src/testing/firestore-proxy.ts';
import type { GcsFault } from '../../src/testing/gcs-faults.ts';
import { faultScale } from '../faults/fault-scale.ts';
import { GoogleServices } from './google-services.ts';

export type GoogleFault = {
  /** As the record of reliability has it. */
  readonly name: string;
  readonly lastsMs: number;
  /** Together with it a worker that runs turns is killed: those are interrupted. */
  readonly killsWorker?: true;
  /** Firestore's methods that have to meet it: else it proves less. */
  readonly meets?: readonly ProxiedMethod[];
  readonly begin: (google: GoogleAtRisk) => Promise<void> | void;
  readonly end: (google: GoogleAtRisk) => Promise<void> | void;
};

export class GoogleAtRisk {
  readonly services: GoogleServices;
  /** Between the fleet and Firestore. */
  readonly way: FirestoreProxy;
  readonly #random: SeededRandom;
  /** Requests since the last fault began, and which of Firestore's. */
  spoilt = 0;
  readonly methods = new Set<ProxiedMethod>();

  private constructor(services: GoogleServices, way: FirestoreProxy, random: SeededRandom) {
    this.services = services;
    this.way = way;
    this.#random = random;
  }

  /** null, and the test is skipped by name, where there are none. */
  static async start(t: TestContext, random: SeededRandom): Promise<GoogleAtRisk | null> {
    const services = await GoogleServices.start();
    if (typeof services !== 'string')
      return new GoogleAtRisk(services, await FirestoreProxy.start(services.firestore.host), random);
    t.skip(services);
    return null;
  }

  /** What a cluster is told beside what the services say themselves. */
  get environment(): Readonly<Record<string, string>> {
    return { FIRESTORE_EMULATOR_HOST: this.way.host };
  }

  /** Of the requests to Firestore a share, before or after they were done. */
  spoil(share: number, fault: (isAfter: boolean) => ProxyFault): void {
    this.way.faultOf = (method) => {
      if (!this.#isMeant(share)) return null;
      this.methods.add(method);
      return fault(this.#isMeant(0.5, 0));
    };
  }

  /** Of the calls of Cloud Storage a share, before or after they were done. */
  spoilStorage(share: number, acts: readonly GcsFault['act'][]): void {
    this.services.storage.faults.faultOf = () => {
      const act = this.#isMeant(share) ? acts[this.spoilt % acts.length] : undefined;
      return act === undefined ? null : { act, when: this.#isMeant(0.5, 0) ? 'after' : 'before' };
    };
  }

  forget(): void {
    this.spoilt = 0;
    this.methods.clear();
  }

  mend(): void {
    this.way.faultOf = () => null;
    this.services.storage.faults.faultOf = () => null;
  }

  /** Not those services, which the cluster's own end needs. */
  stop(): void {
    this.way.stop();
  }

  #isMeant(share: number, counts = 1): boolean {
    const isMeant = this.#random.next() < share;
    if (isMeant) this.spoilt += counts;
    return isMeant;
  }
}

/** Longer on a machine of one's own. */
const longer = faultScale >= 10 ? 3 : 1;
const shortMs = 4_000 * longer;
const half = [{ status: 503 }, { status: 429 }, { status: 500 }] as const;

const mend = (google: GoogleAtRisk): void => google.mend();

/** By their numbers in gRPC. */
const classes = [
  ['UNAVAILABLE', 14],
  ['ABORTED', 10],
  ['DEADLINE_EXCEEDED', 4],
  ['RESOURCE_EXHAUSTED', 8],
  ['INTERNAL', 13],
] as const;

function answering([name, code]: (typeof classes)[number]): GoogleFault {
  return {
    name: `Firestore answers ${name} to 40 % of the calls, before or after it did what was asked`,
    lastsMs: shortMs,
    meets: ['Commit', 'BatchGetDocuments', 'RunQuery'],
    begin: (google) => google.spoil(0.4, (after) => ({ kind: 'status', code, after })),
    end: mend,
  };
}

function paused(forMs: number): GoogleFault {
  return {
    name: `Firestore silent for ${forMs / 1_000} s`,
    lastsMs: forMs,
    begin: ({ services }) => services.firestore.pause(),
    end: ({ services }) => services.firestore.resume(),
  };
}

export const googleFaults: readonly GoogleFault[] = [
  paused(5_000),
  // Longer than a call may take.
  paused(15_000 * longer),
  {
    name: 'Firestore cut off',
    lastsMs: 6_000 * longer,
    begin: ({ way }) => way.cut(),
    end: ({ way }) => way.restore(),
  },
  {
    name: 'Firestore slow by 200 ms a call',
    lastsMs: shortMs,
    begin: (google) => google.spoil(1, () => ({ kind: 'delay', ms: 200 })),
    end: mend,
  },
  ...classes.map(answering),
  {
    name: 'Firestore says nothing to 10 % of the calls, though it did half of them',
    lastsMs: shortMs,
    begin: (google) => google.spoil(0.1, (after) => ({ kind: 'hang', after })),
    end: mend,
  },
  {
    name: 'Cloud Storage answers 503, 429 or 500 to half of the calls',
    lastsMs: shortMs,
    begin: (google) => google.spoilStorage(0.5, half),
    end: mend,
  },
  {
    name: 'Cloud Storage answers 503 to all calls',
    lastsMs: 12_000 * longer,
    begin: (google) => google.spoilStorage(1, [{ status: 503 }]),
    end: mend,
  },
  {
    name: 'Cloud Storage hangs',
    lastsMs: 6_000 * longer,
    begin: (google) => google.spoilStorage(1, ['hang']),
    end: mend,
  },
  {
    name: 'Cloud Storage stopped and started',
    lastsMs: shortMs,
    begin: ({ services }) => services.storage.stop(),
    end: ({ services }) => services.storage.start(),
  },
  {
    name: 'Firestore silent and Cloud Storage stopped',
    lastsMs: 6_000 * longer,
    begin: async ({ services }) => {
      services.firestore.pause();
      await services.storage.stop();
    },
    end: async ({ services }) => {
      await services.storage.start();
      services.firestore.resume();
    },
  },
  {
    name: 'a worker killed while Firestore answers UNAVAILABLE and Cloud Storage 503 to a third of the calls',
    lastsMs: 8_000 * longer,
    killsWorker: true,
    begin: (google) => {
      google.spoil(1 / 3, (after) => ({ kind: 'status', code: 14, after }));
      google.spoilStorage(1 / 3, [{ status: 503 }]);
    },
    end: mend,
  },
];
