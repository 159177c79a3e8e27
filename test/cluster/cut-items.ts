// Whether a turn was ended between two of its items, or in the middle of one.

import type { EventOnWire } from '../../src/api/events.ts';

type Item = {
  readonly id: string;
  readonly type: string;
  readonly command?: string;
  readonly exit_code?: number | null;
};

/** What a turn had begun and not ended, and commands that were ended for it; nothing when it was cut between items. */
export function cutItems(events: readonly EventOnWire[], turnId: string): string[] {
  const open = new Map<string, string>();
  const problems: string[] = [];
  for (const event of events) {
    if (event.turn_id !== turnId) continue;
    const item = event['item'] as Item | undefined;
    if (event.type === 'item.superseded') open.delete(String(event['item_id']));
    if (item === undefined) continue;
    if (event.type === 'item.started') open.set(item.id, item.type);
    if (event.type !== 'item.completed') continue;
    open.delete(item.id);
    if (item.type === 'command_execution' && item.exit_code !== 0) {
      problems.push(`the command ${JSON.stringify(item.command)} of item ${item.id} was ended in the middle`);
    }
  }
  return [...problems, ...[...open].map(([id, type]) => `item ${id} (${type}) has no end`)];
}

/** How many of its commands ended well. */
export function commandsDone(events: readonly EventOnWire[], turnId: string): number {
  return events.filter((event) => {
    const item = event['item'] as Item | undefined;
    const isEnd = event.turn_id === turnId && event.type === 'item.completed';
    return isEnd && item?.type === 'command_execution' && item.exit_code === 0;
  }).length;
}
