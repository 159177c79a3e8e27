// The tokens of one turn. Codex counts per thread, over its whole life, and says the same totals again
// after a resume: the turn's share is what was added since its first own report.

import { noUsage, type Usage } from '../core/usage.ts';
import type { ThreadTokenUsage } from './generated/v2/ThreadTokenUsage.ts';
import type { TokenUsageBreakdown } from './generated/v2/TokenUsageBreakdown.ts';

export class TurnUsage {
  #before: Usage | null = null;
  #current: Usage = noUsage;

  get current(): Usage {
    return this.#current;
  }

  /** `ofThisTurn` false: a report of an earlier turn, which only moves the starting point. */
  add(report: ThreadTokenUsage, ofThisTurn: boolean): void {
    const total = toUsage(report.total);
    if (!ofThisTurn) {
      this.#before = total;
      return;
    }
    this.#before ??= difference(total, toUsage(report.last));
    this.#current = difference(total, this.#before);
  }
}

function toUsage(counts: TokenUsageBreakdown): Usage {
  return {
    inputTokens: counts.inputTokens,
    cachedInputTokens: counts.cachedInputTokens,
    outputTokens: counts.outputTokens,
    reasoningOutputTokens: counts.reasoningOutputTokens,
    costUsd: null,
  };
}

function difference(later: Usage, earlier: Usage): Usage {
  return {
    inputTokens: Math.max(0, later.inputTokens - earlier.inputTokens),
    cachedInputTokens: Math.max(0, later.cachedInputTokens - earlier.cachedInputTokens),
    outputTokens: Math.max(0, later.outputTokens - earlier.outputTokens),
    reasoningOutputTokens: Math.max(0, later.reasoningOutputTokens - earlier.reasoningOutputTokens),
    costUsd: null,
  };
}
