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

/** A longer line counts as a call: what parsing it would take is for whoever wrote it to say. */
const maxLineBytes = 1024 * 1024;

/** Is given a stretch piece by piece; half a line at its end counts as a call. */
export class ToolSearch {
  #hasFound = false;
  /** The line that has not ended yet. */
  #begun: Buffer[] = [];
  #begunBytes = 0;

  /** Of all that was added. */
  get hasFound(): boolean {
    return this.#hasFound || this.#begunBytes > 0;
  }

  /** The bytes are the caller's again when this returns. */
  add(bytes: Buffer): void {
    let start = 0;
    while (!this.#hasFound && start < bytes.length) {
      const end = bytes.indexOf(0x0a, start);
      const piece = bytes.subarray(start, end === -1 ? bytes.length : end);
      this.#begunBytes += piece.length;
      if (this.#begunBytes > maxLineBytes) this.#hasFound = true;
      else if (end === -1) this.#begun.push(Buffer.from(piece));
      else this.#endLine(piece);
      start += piece.length + 1;
    }
    if (this.#hasFound) this.#begun = [];
  }

  #endLine(piece: Buffer): void {
    const line = this.#begun.length === 0 ? piece : Buffer.concat([...this.#begun, piece]);
    this.#begun = [];
    this.#begunBytes = 0;
    this.#hasFound = line.length > 0 && !isHarmless(line.toString('utf8'));
  }
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
