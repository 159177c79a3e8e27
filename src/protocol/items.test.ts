import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ThreadItem } from './generated/v2/ThreadItem.ts';
import { toPublicItem } from './items.ts';

test('a renamed file says where it went', () => {
  const item: ThreadItem = {
    type: 'fileChange',
    id: 'f',
    status: 'completed',
    changes: [{ path: '/s/ws/a', kind: { type: 'update', move_path: '/s/ws/b' }, diff: '' }],
  };
  assert.deepEqual(toPublicItem(item), {
    id: 'f',
    type: 'file_change',
    status: 'completed',
    changes: [{ path: '/s/ws/a', kind: 'update', move_path: '/s/ws/b' }],
  });
});

test('a tool call of an MCP server has a result or an error', () => {
  const call: Extract<ThreadItem, { type: 'mcpToolCall' }> = {
    type: 'mcpToolCall',
    id: 'c',
    server: 's',
    tool: 't',
    status: 'completed',
    arguments: { q: 1 },
    appContext: null,
    mcpAppUi: null,
    pluginId: null,
    readOnlyHint: null,
    result: { content: [{ type: 'text', text: 'ok' }], structuredContent: null, _meta: null },
    error: null,
    durationMs: 3,
  };
  const common = { id: 'c', type: 'mcp_tool_call', server: 's', tool: 't', arguments: { q: 1 } };
  assert.deepEqual(toPublicItem(call), {
    ...common,
    result: { content: [{ type: 'text', text: 'ok' }], structured_content: null },
    status: 'completed',
  });
  assert.deepEqual(toPublicItem({ ...call, status: 'failed', result: null, error: { message: 'no' } }), {
    ...common,
    error: { message: 'no' },
    status: 'failed',
  });
});

test('reasoning without summaries shows its text', () => {
  const item: ThreadItem = { type: 'reasoning', id: 'r', summary: [], content: ['one', 'two'] };
  assert.deepEqual(toPublicItem(item), { id: 'r', type: 'reasoning', text: 'one\ntwo' });
});

test('an item that the SDK has no word for passes with its own fields in our spelling', () => {
  const item: ThreadItem = { type: 'imageView', id: 'i', path: '/s/ws/a.png', startedAtMs: 1 };
  assert.deepEqual(toPublicItem(item), { id: 'i', type: 'image_view', path: '/s/ws/a.png' });
  const unknown = { type: 'brandNew', id: 'n', someField: [1] } as unknown as ThreadItem;
  assert.deepEqual(toPublicItem(unknown), { id: 'n', type: 'brand_new', some_field: [1] });
});
