// What a worker tells, through the store door: the other side writes the deliveries, so that a worker need not see
// who is told. Of a lane one thing after the other is sent: on several connections the later could arrive first.

import type { Outbox } from '../../contracts/outbox.ts';
import type { Notice } from '../../core/webhook.ts';
import type { DoorCall } from './door-call.ts';
import type { AskDoor } from './store-door-records.ts';

export type StoreDoorOutboxParts = {
  readonly newCall: (operation: string) => DoorCall;
  readonly ask: AskDoor;
};

export class StoreDoorOutbox implements Outbox {
  readonly #parts: StoreDoorOutboxParts;
  /** The last that is on its way of each lane. */
  readonly #lanes = new Map<string, Promise<void>>();

  constructor(parts: StoreDoorOutboxParts) {
    this.#parts = parts;
  }

  /** One that could not be sent holds back those that wait behind it: said again in order, they arrive in order. */
  async put(notices: readonly Notice[]): Promise<void> {
    if (notices.length === 0) return;
    const lanes = [...new Set(notices.map(({ lane, tenant }) => JSON.stringify([tenant, lane])))];
    const before = Promise.all(lanes.map((lane) => this.#lanes.get(lane) ?? Promise.resolve()));
    const sending = before.then(async () => {
      await this.#parts.ask(this.#parts.newCall('tell'), 'tell', { notices });
    });
    for (const lane of lanes) this.#lanes.set(lane, sending);
    try {
      await sending;
    } finally {
      for (const lane of lanes) if (this.#lanes.get(lane) === sending) this.#lanes.delete(lane);
    }
  }
}
