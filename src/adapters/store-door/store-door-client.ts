// A worker's way to records, snapshots and the outbox of its fleet: the store door of the session managers. Needs
// their address and a credential, and nothing of what is behind.

import { answers, storePath } from '../../api/store-wire.ts';
import type { Outbox } from '../../contracts/outbox.ts';
import type { SessionObjects } from '../../contracts/snapshots.ts';
import type { WorkerRecords } from '../../contracts/worker-records.ts';
import type { Clock } from '../../core/clock.ts';
import { DoorCall } from './door-call.ts';
import { DoorLink, type DoorLinkParts } from './door-link.ts';
import { StoreDoorOutbox } from './store-door-outbox.ts';
import { type AskDoor, StoreDoorRecords, understood } from './store-door-records.ts';
import { StoreDoorSnapshots } from './store-door-snapshots.ts';

export type StoreDoorClientOptions = DoorLinkParts & {
  readonly clock: Clock;
  /** For one call, with all its repeats. */
  readonly timeoutMs: number;
  /** 0 to 1; a part of each wait is left to chance. */
  readonly random?: () => number;
};

export type DoorDescription = {
  /** What tells these records and snapshots from another fleet's. */
  readonly truth: string;
  readonly fleetVersion: string;
};

export class StoreDoorClient {
  readonly records: WorkerRecords;
  readonly snapshots: SessionObjects;
  readonly outbox: Outbox;
  readonly #link: DoorLink;
  readonly #closing = new AbortController();
  readonly #options: StoreDoorClientOptions;
  readonly #ask: AskDoor;

  constructor(options: StoreDoorClientOptions) {
    const link = new DoorLink(options);
    const ask: AskDoor = (call, name, asked) => {
      const body = JSON.stringify(asked);
      return call.repeat((limitMs) => link.call(storePath(name), body, limitMs));
    };
    this.#options = options;
    this.#link = link;
    this.#ask = ask;
    const newCall = (operation: string): DoorCall => this.#newCall(operation, options.timeoutMs);
    this.records = new StoreDoorRecords({ newCall, ask });
    this.outbox = new StoreDoorOutbox({ newCall, ask });
    this.snapshots = new StoreDoorSnapshots({
      ...{ link, ask },
      newCall: (operation, bytes) => this.#newCall(operation, options.timeoutMs, bytes),
    });
  }

  /** Rejects with `store_unavailable` when no door answered within that time. */
  async describe(withinMs: number = this.#options.timeoutMs): Promise<DoorDescription> {
    const call = this.#newCall('describe', withinMs);
    return understood(answers.description, await this.#ask(call, 'describe', {}), call);
  }

  /** Calls under way are rejected with `store_unavailable`; what they asked for may have been done. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#link.close();
  }

  #newCall(operation: string, timeoutMs: number, bytes = 0): DoorCall {
    const { clock, random = Math.random } = this.#options;
    return new DoorCall(operation, { clock, timeoutMs, random, closing: this.#closing.signal }, bytes);
  }
}
