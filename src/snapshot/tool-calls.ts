// Whether a stretch of a rollout says that something may have touched the workspace. It errs on the side of
// yes: what is not known to be harmless counts as a call of a tool.

const harmlessLines: ReadonlySet<unknown> = new Set([
  'session_meta',
  'turn_context',
  'world_state',
  'token_usage_record',
  'compacted',
]);
const harmlessItems: ReadonlySet<unknown> = new Set([
  'message',
  'agent_message',
  'reasoning',
  'compaction',
  'context_compaction',
]);
const harmlessEvents: ReadonlySet<unknown> = new Set([
  'agent_message',
  'agent_reasoning',
  'agent_reasoning_raw_content',
  'agent_reasoning_section_break',
  'context_compacted',
  'error',
  'stream_error',
  'task_complete',
  'task_started',
  'thread_name_updated',
  'thread_settings_applied',
  'token_count',
  'turn_aborted',
  'user_message',
  'warning',
]);

/** `tail` is whole lines of JSON; half a line counts as a call. */
export function mentionsTools(tail: Buffer): boolean {
  return tail
    .toString('utf8')
    .split('\n')
    .some((line) => line !== '' && !isHarmless(line));
}

function isHarmless(line: string): boolean {
  try {
    const { type, payload } = JSON.parse(line) as { type?: unknown; payload?: { type?: unknown } | null };
    if (type === 'response_item') return harmlessItems.has(payload?.type);
    if (type === 'event_msg') return harmlessEvents.has(payload?.type);
    return harmlessLines.has(type);
  } catch {
    return false;
  }
}
