// Codex's thread items as callers see them: the snake_case shapes of @openai/codex-sdk, and a few of
// ours for what it has no word for. A type that these lists do not know passes with its own fields.

import type { ThreadItem } from './generated/v2/ThreadItem.ts';
import type { UserInput } from './generated/v2/UserInput.ts';

/** Wire shape. */
export type PublicItem = { readonly id: string; readonly type: string } & Readonly<Record<string, unknown>>;

export function toPublicItem(item: ThreadItem): PublicItem {
  switch (item.type) {
    case 'agentMessage':
      return {
        id: item.id,
        type: 'agent_message',
        text: item.text,
        ...(item.phase === null ? {} : { phase: item.phase }),
      };
    case 'reasoning':
      // The SDK joins the summaries so; providers without summaries send the text itself.
      return {
        id: item.id,
        type: 'reasoning',
        text: (item.summary.length > 0 ? item.summary : item.content).join('\n'),
      };
    case 'commandExecution':
      return {
        id: item.id,
        type: 'command_execution',
        command: item.command,
        aggregated_output: item.aggregatedOutput ?? '',
        ...(item.exitCode === null ? {} : { exit_code: item.exitCode }),
        status: toSnakeCase(item.status),
      };
    case 'fileChange':
      return {
        id: item.id,
        type: 'file_change',
        changes: item.changes.map(({ path, kind }) => ({
          path,
          kind: kind.type,
          ...(kind.type === 'update' && kind.move_path !== null ? { move_path: kind.move_path } : {}),
        })),
        status: toSnakeCase(item.status),
      };
    case 'mcpToolCall':
      return {
        id: item.id,
        type: 'mcp_tool_call',
        server: item.server,
        tool: item.tool,
        arguments: item.arguments,
        ...(item.result === null
          ? {}
          : { result: { content: item.result.content, structured_content: item.result.structuredContent } }),
        ...(item.error === null ? {} : { error: { message: item.error.message } }),
        status: toSnakeCase(item.status),
      };
    case 'webSearch':
      return {
        id: item.id,
        type: 'web_search',
        query: item.query,
        ...(item.action === null ? {} : { action: item.action }),
      };
    case 'userMessage':
      return { id: item.id, type: 'user_message', text: textOf(item.content) };
    case 'plan':
      return { id: item.id, type: 'plan', text: item.text };
    case 'hookPrompt':
      return { id: item.id, type: 'hook_prompt', text: item.fragments.map((fragment) => fragment.text).join('\n') };
    case 'enteredReviewMode':
    case 'exitedReviewMode':
      return { id: item.id, type: toSnakeCase(item.type), review: item.review };
    case 'functionCallOutput':
    case 'dynamicToolCall':
    case 'collabAgentToolCall':
    case 'subAgentActivity':
    case 'imageView':
    case 'imageGeneration':
    case 'sleep':
    case 'contextCompaction':
      return withSnakeCaseKeys(item);
    default:
      return withSnakeCaseKeys(item satisfies never as ThreadItem);
  }
}

function textOf(content: readonly UserInput[]): string {
  return content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
}

/** The item's own fields as they are, under our spelling; without the clock values that Codex adds to each. */
function withSnakeCaseKeys(item: ThreadItem): PublicItem {
  const { id, type, startedAtMs: _started, completedAtMs: _completed, ...rest } = item;
  const fields = Object.entries(rest).map(([key, value]) => [
    toSnakeCase(key),
    key === 'status' && typeof value === 'string' ? toSnakeCase(value) : value,
  ]);
  return { ...Object.fromEntries(fields), id, type: toSnakeCase(type) };
}

export function toSnakeCase(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The whole item of a stored line, where the event had to cut it; null for a line that is about no item. */
export function itemOfLine(line: string): PublicItem | null {
  const { params } = JSON.parse(line) as { params?: { item?: ThreadItem } };
  return params?.item === undefined ? null : toPublicItem(params.item);
}
