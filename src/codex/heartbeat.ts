// Tells a watchdog that the worker lives, by a line at a steady pace. Its silence ends the agent.

import type { Socket } from 'node:net';
import type { Clock } from '../core/clock.ts';

const beatsPerLimit = 5;
const longestIntervalMs = 1_000;
/** A watchdog that does not read (stopped from outside) must not make the beats pile up. */
const maxUnreadBytes = 1_024;

export class Heartbeat {
  readonly #pipe: Socket;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #cancel: () => void = () => {};

  constructor(pipe: Socket, clock: Clock, limitMs: number) {
    this.#pipe = pipe;
    this.#clock = clock;
    this.#intervalMs = Math.min(longestIntervalMs, limitMs / beatsPerLimit);
    this.#tick();
  }

  /** A beat out of turn: the watchdog looks at once whether the agent lives. */
  beat(): void {
    if (this.#pipe.writable && this.#pipe.writableLength < maxUnreadBytes) this.#pipe.write('.\n');
  }

  stop(): void {
    this.#cancel();
  }

  #tick(): void {
    this.beat();
    this.#cancel = this.#clock.after(this.#intervalMs, () => this.#tick());
  }
}
