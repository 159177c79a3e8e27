// Looks after a turn about which nothing is heard: asks Codex how it stands. A slow model is not a
// failure and a lost `turn/completed` is no reason to wait; only a Codex that does not answer is gone.

import type { AgentProcess } from '../codex/agent-process.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import type { Turn } from '../protocol/generated/v2/Turn.ts';

export type SilenceWatchOptions = {
  readonly agent: AgentProcess;
  readonly clock: Clock;
  readonly threadId: string;
  /** null until Codex has named it. */
  readonly codexTurnId: () => string | null;
  readonly silenceMs: number;
  readonly lastHeardMs: () => number;
  /** Codex says that the turn has ended, and how. */
  readonly onEnded: (turn: Turn) => void;
  readonly onUnresponsive: () => void;
};

export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  #cancel: () => void = () => {};
  #isOver = false;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#wait(options.silenceMs);
  }

  stop(): void {
    this.#isOver = true;
    this.#cancel();
  }

  #wait(ms: number): void {
    if (this.#isOver) return;
    const { clock, lastHeardMs, silenceMs } = this.#options;
    this.#cancel = clock.after(ms, () => {
      const quietMs = clock.monotonicMs() - lastHeardMs();
      if (quietMs < silenceMs) this.#wait(silenceMs - quietMs);
      else void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    const { agent, codexTurnId, onEnded, onUnresponsive, silenceMs, threadId } = this.#options;
    try {
      const standing = await agent.calls.threadRead({ threadId });
      if (standing.thread.status.type !== 'active') {
        // Only now its whole history, which may be long.
        const { thread } = await agent.calls.threadRead({ threadId, includeTurns: true });
        const turn = thread.turns.find(({ id }) => id === codexTurnId());
        if (this.#isOver) return;
        if (turn === undefined) onUnresponsive();
        else if (turn.status !== 'inProgress') onEnded(turn);
      }
    } catch (error) {
      if (!this.#isOver && isServiceError(error, 'agent_unresponsive')) onUnresponsive();
      // A refusal is an answer; of a closed connection others hear.
    }
    this.#wait(silenceMs);
  }
}
