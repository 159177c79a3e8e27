// The slot of one session, when it has one: got when work comes, let go when told, never two at once.
// What was let go is out of its cage before the next slot is bound, or the session fails.

import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import { type Binding, bindSession } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import type { AgentListener, SlotEndReason } from './slot.ts';
import type { SlotWait } from './slot-pool.ts';

export type SessionSlotOptions = {
  readonly parts: HostParts;
  readonly listener: AgentListener;
  /** The process ended by itself while bound. */
  readonly onExit: () => void;
};

export class SessionSlot {
  readonly #options: SessionSlotOptions;
  #binding: Binding | null = null;
  #unbinding: Promise<void> = Promise.resolve();
  #failure: ServiceError | null = null;

  constructor(options: SessionSlotOptions) {
    this.#options = options;
  }

  get isBound(): boolean {
    return this.#binding !== null;
  }

  /** The standing binding, or a new one. `onWait` gets the means to stop waiting for a slot. */
  async bind(session: SessionRecord, model: string, timeoutMs: number, onWait: (cancel: SlotWait['cancel']) => void): Promise<Binding> {
    if (this.#binding !== null) return this.#binding;
    const { parts } = this.#options;
    const wait = parts.acquireSlot();
    onWait(wait.cancel);
    const cancelTimer = parts.clock.after(timeoutMs, () => wait.cancel(new ServiceError('queue_timed_out')));
    try {
      const [slot] = await Promise.all([wait.slot, this.#unbinding]);
      if (this.#failure !== null) {
        await parts.pool.retire(slot, 'cancelled');
        throw this.#failure;
      }
      const binding = await bindSession(parts, session, model, slot, this.#options.listener);
      this.#binding = binding;
      void binding.agent.exited.then(() => {
        if (this.#binding === binding) this.#options.onExit();
      });
      return binding;
    } finally {
      cancelTimer();
    }
  }

  /** Ends the cage and takes the files out. A failure there fails the session: it must not go on without them. */
  unbind(reason: SlotEndReason): Promise<void> {
    const binding = this.#binding;
    this.#binding = null;
    if (binding !== null) {
      this.#unbinding = binding.end(reason).catch((error: unknown) => {
        this.#failure = new ServiceError('session_failed', {}, { cause: error });
        this.#options.parts.logger.error(
          { event: 'session_files_stuck', slot_id: binding.slot.id, err: error },
          'the files of a session could not be taken out of its slot',
        );
      });
    }
    return this.#unbinding;
  }
}
