// What is in a session's workspace, as a command in it sees it.

import assert from 'node:assert/strict';
import type { CommandResponse } from '../../src/api/commands.ts';
import type { FileResource } from '../../src/api/files.ts';
import type { FleetClient } from '../e2e/fleet-client.ts';

export async function commandOutput(client: FleetClient, sessionId: string, command: string): Promise<string> {
  const path = `/api/v1/sessions/${sessionId}/commands`;
  const { status, text, body } = await client.request<CommandResponse>('POST', path, { command });
  assert.equal(status, 200, text);
  return body.stdout;
}

/** Every name with its kind, mode, link and, for files, the hash of its content. */
export async function treeOf(client: FleetClient, sessionId: string): Promise<string> {
  const names = "find . -mindepth 1 -printf '%P %y %m %l\\n' | LC_ALL=C sort";
  const hashes = 'find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum';
  return await commandOutput(client, sessionId, `${names}; ${hashes}`);
}

/** The same as the files API has it: live while a slot has the session, else as its snapshot does. */
export async function filesOf(client: FleetClient, sessionId: string): Promise<Record<string, string>> {
  const files = `/api/v1/sessions/${sessionId}/files`;
  const { status, text, body } = await client.request<{ data: FileResource[]; has_more: boolean }>(
    'GET',
    `${files}?recursive=true&limit=1000`,
  );
  assert.equal(status, 200, text);
  assert.equal(body.has_more, false);
  const found: Record<string, string> = {};
  for (const { path, kind, size, executable, target } of body.data) {
    const hash =
      kind === 'file' ? (await client.request('HEAD', `${files}/${encodeURI(path)}`)).headers.get('etag') : '';
    found[path] = `${kind} ${size} ${executable} ${target ?? ''} ${hash}`;
  }
  return found;
}
