// Ctrl-C during exec: the first asks the fleet to cancel the turn and waits for its end, a second one, or
// an end that does not come, leaves at once.

import type { CliContext } from './cli-context.ts';
import { sameKeyPressMs } from './run-until-stopped.ts';

const patienceMs = 15_000;

export class Interruption {
  readonly #context: CliContext;
  readonly #abort = new AbortController();
  readonly #stopListening: () => void;
  #askedAtMs: number | null = null;
  #cancelTurn: (() => Promise<void>) | null = null;
  #cancelPatience: () => void = () => {};

  constructor(context: CliContext) {
    this.#context = context;
    this.#stopListening = context.onInterrupt(() => this.#onInterrupt());
  }

  get isAsked(): boolean {
    return this.#askedAtMs !== null;
  }

  /** Aborted when there is nothing more to wait for. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** How the turn is cancelled, once it is known; only the first call counts. */
  cancelBy(cancelTurn: () => Promise<void>): void {
    if (this.#cancelTurn !== null) return;
    this.#cancelTurn = cancelTurn;
    if (this.isAsked) this.#cancel();
  }

  /** null when the person gave up first: before there is a turn, the first Ctrl-C is enough. */
  async race<T extends { close(options?: { force?: boolean }): Promise<void> }>(
    starting: Promise<T>,
  ): Promise<T | null> {
    const { promise: asked, resolve } = Promise.withResolvers<null>();
    const stopListening = this.#context.onInterrupt(() => resolve(null));
    try {
      const first = await Promise.race([starting, asked]);
      // What comes up too late is ended by this process's own end; ask it nicely meanwhile.
      if (first === null) starting.then((late) => late.close({ force: true })).catch(() => {});
      return first;
    } finally {
      stopListening();
    }
  }

  close(): void {
    this.#stopListening();
    this.#cancelPatience();
  }

  #onInterrupt(): void {
    const nowMs = this.#context.clock.monotonicMs();
    if (this.#askedAtMs === null) {
      this.#askedAtMs = nowMs;
      this.#cancelPatience = this.#context.clock.after(patienceMs, () => this.#abort.abort());
      if (this.#cancelTurn !== null) this.#cancel();
    } else if (nowMs - this.#askedAtMs >= sameKeyPressMs) {
      this.#abort.abort();
    }
  }

  #cancel(): void {
    this.#cancelTurn?.().catch(async (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      await this.#context.stderr.write(`codex-fleet: the turn could not be cancelled: ${reason}\n`);
      this.#abort.abort();
    });
  }
}
