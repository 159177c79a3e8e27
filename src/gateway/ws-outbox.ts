// What goes out on one WebSocket, in order and without piling up: writers wait while the socket has
// enough, and a reader that takes nothing for too long is closed with the place to resume from.

import type { WebSocket } from 'ws';
import { wsCloseCodes } from '../api/ws-frames.ts';
import type { Clock } from '../core/clock.ts';
import { formatCursor, type EventHeader } from '../core/event.ts';

export type OutboxLimits = { readonly bufferBytes: number; readonly stallMs: number };

export class WsOutbox {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #limits: OutboxLimits;
  readonly #onCut: () => void;
  #blocked: Promise<void> | null = null;
  #lastEvent: EventHeader | null = null;

  constructor(socket: WebSocket, clock: Clock, limits: OutboxLimits, onCut: () => void) {
    this.#socket = socket;
    this.#clock = clock;
    this.#limits = limits;
    this.#onCut = onCut;
  }

  /** Resolves when the next may come. Of several that wait, each looks again: one frame at a time goes over the mark. */
  async write(text: string, header: EventHeader | null = null): Promise<void> {
    while (this.#blocked !== null) await this.#blocked;
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (header !== null) this.#lastEvent = header;
    // A quarter, so that the largest event still fits below the bound.
    if (this.#socket.bufferedAmount < this.#limits.bufferBytes / 4) this.#socket.send(text);
    else await this.#sendAndWait(text);
  }

  async #sendAndWait(text: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelStall = this.#clock.after(this.#limits.stallMs, () => this.#cut());
    this.#blocked = promise;
    // Called when the bytes went to the kernel, and with an error when the socket is no more.
    this.#socket.send(text, () => resolve());
    await promise;
    cancelStall();
    this.#blocked = null;
  }

  /** The frame comes behind all that was sent: who reads it has read up to this cursor. */
  #cut(): void {
    this.#onCut();
    const last = this.#lastEvent;
    const reason = last === null ? {} : { session_id: last.sessionId, after: formatCursor(last) };
    this.#socket.close(wsCloseCodes.slowReader, JSON.stringify(reason));
  }
}
