// The real files of sessions in a directory of the test's: no slots, no commits, one change at a time.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SystemClock } from '../observability/system-clock.ts';
import { SessionWorkspace, type SessionWorkspaceParts } from '../worker/session-workspace.ts';
import { Spool } from '../workspace/spool.ts';

export async function bytesOf(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

export type LiveWorkspace = {
  readonly link: SessionWorkspace;
  readonly ws: string;
  readonly spool: string;
  /** Beside the workspace: what no request may read or write. */
  readonly outside: string;
};

export async function openLiveWorkspace(
  t: TestContext,
  overrides: Partial<SessionWorkspaceParts> = {},
): Promise<LiveWorkspace> {
  const root = mkdtempSync(join(tmpdir(), 'fleet-workspace-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const [ws, spool, outside] = [join(root, 'ws'), join(root, 'spool'), join(root, 'outside')];
  for (const dir of [ws, outside]) mkdirSync(dir);
  let turn: Promise<unknown> = Promise.resolve();
  const link = new SessionWorkspace({
    clock: new SystemClock(),
    spool: await Spool.open(spool),
    admit: () => undefined,
    live: () => ws,
    newestSnapshot: async () => null,
    sessionBase: async () => null,
    openSnapshot: async () => null,
    change: (_key, change) => {
      const done = turn.then(() => change(ws));
      turn = done.catch(() => undefined);
      return done;
    },
    ...overrides,
  });
  return { link, ws, spool, outside };
}
