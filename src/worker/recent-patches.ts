// The patches that Codex described lately: a request to apply one names the item that described it, and
// carries no patch itself. Bounded; one that was forgotten is an approval without a hash.

import { createHash } from 'node:crypto';
import { type DescribedPatch, patchText } from '../protocol/approvals.ts';
import { cutText } from '../protocol/cut.ts';
import type { FileUpdateChange } from '../protocol/generated/v2/FileUpdateChange.ts';
import type { ThreadItem } from '../protocol/generated/v2/ThreadItem.ts';
import type { AgentNotification } from '../codex/agent-process.ts';

/** Codex describes a patch right before it asks; several at once are few. */
const mostPatches = 64;
/** Of one patch: what a person is shown of it. The hash is of all. */
const mostFiles = 200;
const mostDiffUnits = 16 * 1024;

export class RecentPatches {
  readonly #patches = new Map<string, DescribedPatch>();

  /** What is not as this version of Codex writes it describes nothing. */
  hear({ method, params }: AgentNotification): void {
    if (method !== 'item/started') return;
    try {
      const { item } = params as { readonly item: ThreadItem };
      if (item.type === 'fileChange') this.#keep(item.id, describe(item.changes));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }

  #keep(itemId: string, patch: DescribedPatch): void {
    // Described again, it is the newest.
    this.#patches.delete(itemId);
    this.#patches.set(itemId, patch);
    const oldest = this.#patches.keys().next().value;
    if (this.#patches.size > mostPatches && oldest !== undefined) this.#patches.delete(oldest);
  }

  get(itemId: string): DescribedPatch | null {
    return this.#patches.get(itemId) ?? null;
  }
}

function describe(changes: readonly FileUpdateChange[]): DescribedPatch {
  let room = mostDiffUnits;
  const shown = changes.slice(0, mostFiles).map(({ diff, kind, path }) => {
    const text = cutText(diff, room);
    room -= text.length;
    return {
      path,
      kind: kind.type,
      ...(kind.type === 'update' && kind.move_path !== null ? { move_path: kind.move_path } : {}),
      diff: text,
      ...(text.length < diff.length ? { truncated: true } : {}),
    };
  });
  return {
    hash: createHash('sha256').update(patchText(changes)).digest('hex'),
    changes: shown,
    isCut: changes.length > mostFiles,
  };
}
