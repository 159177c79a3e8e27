// Sees to it that no session takes the memory of the others: ends the largest command of a session that holds more
// than it may, and the largest of all where the container is nearly full. Codex and the session go on.

import type { AgentProcess } from '../codex/agent-process.ts';
import type { AgentMemory, CommandTree } from '../codex/command-trees.ts';
import type { ContainerMemory } from '../codex/container-memory.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { CommandKillReason, Metrics } from '../observability/metrics.ts';
import type { Slot } from './slot.ts';
import type { SlotWatch } from './slot-pool.ts';

export type MemoryWatchOptions = {
  /** For the commands of one session together. */
  readonly limitBytes: number;
  /** null when the agent is gone. */
  readonly look: (agent: AgentProcess) => AgentMemory | null;
  /** As exactly as can be told, for what `look` found to be too much. */
  readonly exactBytes: (command: CommandTree) => number;
  /** false when it was not there any more. */
  readonly end: (command: CommandTree) => boolean;
  readonly container: () => ContainerMemory | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'commandsKilled'>;
};

/** Where no command runs, where some do, and where they may be too large before the next look. */
const quietMs = 500;
const busyMs = 250;
const nearMs = 50;
/**
 * A look takes its part of the time at most: with 8 sessions that run 7 processes each it took 3 to 5 ms on a virtual
 * machine where each file of /proc takes 35 µs, and is made every 300 to 500 ms there. Where memory runs short it
 * may take more, but not so much that the sessions of others come to nothing by it: commands choose what it costs.
 */
const mostShare = 0.01;
const mostNearShare = 0.2;
const longestMs = 1_000;
const nearShare = 0.5;
/** The rest is for what Codex, the worker and the kernel take while a command is being ended. */
const fullShare = 0.92;
/** Memory of a command that was ended comes back by and by: nobody else pays for it meanwhile. */
const freeingMs = 500;
/** Where the container is nearly full, but not by what commands hold, the end of a smaller one would be for nothing. */
const leastWorthBytes = 32 * 1024 ** 2;

type Found = { readonly slot: Slot; readonly command: CommandTree; readonly bytes: number };

export class MemoryWatch implements SlotWatch {
  readonly #options: MemoryWatchOptions;
  /** Told that their Codex is too large: that takes a while. */
  readonly #overgrown = new WeakSet<Slot>();
  #cancelNext: () => void = () => {};
  #isStopped = false;
  #fullAgainMs = 0;

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
  }

  start(slots: () => Iterable<Slot>): void {
    if (this.#isStopped) return;
    const { clock } = this.#options;
    const beganMs = clock.monotonicMs();
    const nextMs = this.#pass(slots());
    const share = nextMs === nearMs ? mostNearShare : mostShare;
    const pauseMs = Math.max(nextMs, Math.min(longestMs, (clock.monotonicMs() - beganMs) / share));
    this.#cancelNext = clock.after(pauseMs, () => this.start(slots));
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelNext();
  }

  /** Answers when the next is due. */
  #pass(slots: Iterable<Slot>): number {
    const { limitBytes, look } = this.#options;
    const standing: Found[] = [];
    let nextMs = quietMs;
    for (const slot of slots) {
      if (slot.state.name !== 'bound') continue;
      const memory = look(slot.state.agent);
      if (memory === null) continue;
      const { codexBytes, commands, filesBytes } = memory;
      const heldBytes = sumOf(commands) + filesBytes;
      if (commands.length === 0 && codexBytes + filesBytes > limitBytes)
        this.#codexOvergrown(slot, codexBytes + filesBytes);
      if (commands.length > 0) nextMs = Math.min(nextMs, heldBytes > limitBytes * nearShare ? nearMs : busyMs);
      const left = heldBytes > limitBytes ? this.#endLargest(slot, memory) : commands;
      standing.push(...left.map((command) => ({ slot, command, bytes: command.bytes })));
    }
    return standing.length > 0 && this.#isContainerNear(standing) ? nearMs : nextMs;
  }

  /** Answers those that stay. */
  #endLargest(slot: Slot, { commands, filesBytes }: AgentMemory): readonly CommandTree[] {
    const { exactBytes, limitBytes } = this.#options;
    const exact = commands.map((command): Found => ({ slot, command, bytes: exactBytes(command) }));
    if (exact.reduce((sum, { bytes }) => sum + bytes, filesBytes) <= limitBytes) return commands;
    const largest = largestOf(exact);
    if (largest === null) return commands;
    this.#end(largest, 'memory');
    return commands.filter((command) => command !== largest.command);
  }

  #isContainerNear(standing: readonly Found[]): boolean {
    const { clock, container, exactBytes } = this.#options;
    const memory = container();
    if (memory === null) return false;
    const share = memory.usedBytes / memory.limitBytes;
    if (share >= fullShare && clock.monotonicMs() >= this.#fullAgainMs) {
      // What is shared, or in nobody's resident memory, must not be paid for by who does not hold it.
      const largest = largestOf(standing.map((one) => ({ ...one, bytes: exactBytes(one.command) })));
      if (largest !== null && largest.bytes >= leastWorthBytes) this.#end(largest, 'container_memory');
    }
    return share >= nearShare;
  }

  #end({ bytes, command, slot }: Found, reason: CommandKillReason): void {
    const { clock, end, limitBytes, logger, metrics } = this.#options;
    if (!end(command)) return;
    this.#fullAgainMs = clock.monotonicMs() + freeingMs;
    metrics.commandsKilled.inc({ reason });
    logger.warn(
      { event: 'command_killed', reason, slot_id: slot.id, bytes, limit_bytes: limitBytes },
      'a command was ended because it held too much memory',
    );
    slot.listener?.onCommandKilled({ reason, bytes, limitBytes });
  }

  #codexOvergrown(slot: Slot, bytes: number): void {
    const { limitBytes, logger } = this.#options;
    if (this.#overgrown.has(slot) || slot.listener === null) return;
    this.#overgrown.add(slot);
    const facts = { slot_id: slot.id, bytes, limit_bytes: limitBytes };
    logger.warn(
      { event: 'codex_overgrown', ...facts },
      'a Codex process, or what lies in the memory of its cage, is too large',
    );
    slot.listener.onOvergrown();
  }
}

function sumOf(commands: readonly CommandTree[]): number {
  return commands.reduce((sum, { bytes }) => sum + bytes, 0);
}

function largestOf(found: readonly Found[]): Found | null {
  return found.reduce<Found | null>((most, one) => (most === null || one.bytes > most.bytes ? one : most), null);
}
