// The slot of one session, when it has one: got when work comes, let go when told, never two at once.
// What was let go is out of its cage before the next slot is bound.

import { isServiceError, ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import { type Binding, bindSession } from './binding.ts';
import type { HostParts } from './host-parts.ts';
import { FilesStuck, type RestMark } from './session-files.ts';
import { claimOf } from './slot-claims.ts';
import type { AgentListener, Slot, SlotEndReason } from './slot.ts';

export type SessionSlotOptions = {
  readonly parts: Pick<HostParts, 'claims' | 'clock' | 'files' | 'grants' | 'logger' | 'pool'>;
  readonly listener: AgentListener;
  /** Makes sure that the session's files rest where they can be moved in from. */
  readonly makeReady: () => Promise<void>;
  readonly restMark: () => RestMark;
  /** The process ended by itself while bound. */
  readonly onExit: () => void;
};

export type SlotRequest = {
  readonly session: SessionRecord;
  /** What the session's thread is loaded with; null when no turn is to come and it need not be. */
  readonly model: string | null;
  /** The longest wait for a slot; binding it is not in it. */
  readonly timeoutMs: number;
  readonly onPlace: (place: number) => void;
  /** Ends the wait, or a binding in the making. */
  readonly signal: AbortSignal;
};

export class SessionSlot {
  readonly #options: SessionSlotOptions;
  #binding: Binding | null = null;
  #isGone = false;
  #unbinding: Promise<void> = Promise.resolve();
  #failure: ServiceError | null = null;

  constructor(options: SessionSlotOptions) {
    this.#options = options;
  }

  get binding(): Binding | null {
    return this.#binding;
  }

  /** Why this session can never be bound again; null while it can. */
  get failure(): ServiceError | null {
    return this.#failure;
  }

  /** The standing binding, or a new one. */
  async bind(request: SlotRequest): Promise<Binding> {
    if (this.#binding !== null && !this.#isGone) return await this.#loaded(this.#binding, request);
    if (this.#binding !== null) await this.unbind('crashed');
    try {
      return await this.#bindAnew(request);
    } catch (error) {
      // A warm process that died before anything was asked of it: another one will do.
      if (!isServiceError(error, 'agent_crashed') || this.#failure !== null || request.signal.aborted) throw error;
      return await this.#bindAnew(request);
    }
  }

  async #loaded(binding: Binding, { model, signal }: SlotRequest): Promise<Binding> {
    try {
      if (model !== null) await binding.load(model, signal);
      return binding;
    } catch (error) {
      if (this.#binding === binding) await this.unbind('crashed');
      throw error;
    }
  }

  async #bindAnew({ model, onPlace, session, signal, timeoutMs }: SlotRequest): Promise<Binding> {
    const { listener, makeReady, onExit, parts, restMark } = this.#options;
    signal.throwIfAborted();
    // Beside the wait for a slot: it takes longer only where much has to be restored.
    const ready = this.#unbinding.then(() => (this.#failure === null ? makeReady() : undefined));
    ready.catch(() => undefined);
    const wait = parts.pool.acquire(session.tenant, onPlace);
    const cancelWait = (): void => wait.cancel(new ServiceError('turn_cancelled'));
    signal.addEventListener('abort', cancelWait, { once: true });
    let slot: Slot | null = null;
    const cancelTimer = parts.clock.after(timeoutMs, () => wait.cancel(new ServiceError('queue_timed_out')));
    try {
      slot = await wait.slot;
      const acquired = slot;
      await ready.catch(async (error: unknown) => {
        await parts.pool.retire(acquired, 'cancelled');
        throw error;
      });
      if (this.#failure !== null || signal.aborted) {
        await parts.pool.retire(slot, 'cancelled');
        throw this.#failure ?? new ServiceError('turn_cancelled');
      }
      const binding = await bindSession(parts, { session, slot, listener, restMark, signal });
      if (model !== null) await binding.load(model, signal);
      this.#binding = binding;
      this.#isGone = false;
      void binding.agent.exited.then(() => {
        if (this.#binding !== binding) return;
        this.#isGone = true;
        onExit();
      });
      return binding;
    } catch (error) {
      if (isServiceError(error, 'session_corrupt')) this.#failure = error;
      if (error instanceof FilesStuck && slot !== null) parts.claims.leave(slot.dir, claimOf(session));
      throw error;
    } finally {
      cancelTimer();
      signal.removeEventListener('abort', cancelWait);
    }
  }

  /** Ends the cage and takes the files out. What cannot be taken out stays where it is, claimed. */
  unbind(reason: SlotEndReason): Promise<void> {
    const binding = this.#binding;
    this.#binding = null;
    if (binding !== null) {
      this.#unbinding = binding.end(reason).catch((error: unknown) => {
        const { claims, logger } = this.#options.parts;
        if (reason !== 'erased') claims.leave(binding.slot.dir, binding.claim);
        logger.error(
          { event: 'session_files_stuck', slot_id: binding.slot.id, err: error },
          'the files of a session could not be taken out of its slot yet',
        );
      });
    }
    return this.#unbinding;
  }

  /** Somebody says that it may be tried again. */
  forgetFailure(): void {
    this.#failure = null;
  }
}
