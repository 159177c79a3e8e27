// GET /api/v1/sessions/{id}/diff: what is different in the workspace since the session or a turn began.

import { toFileDiffResource, toPathList } from '../../api/files.ts';
import { operations } from '../../api/operations.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import type { DiffBase, FileDiff } from '../../contracts/workspace-link.ts';
import { ServiceError } from '../../core/errors.ts';
import type { HttpServer } from '../../http/server.ts';
import type { Gear } from '../gateway-parts.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { keyOf } from './files.ts';
import { requireTurn } from './turns.ts';

export function registerDiff(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.readDiff, async ({ params, query, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    const changes = await gear.workspace.diff(key, await baseOf(gear, key, query.since));
    if ((request.headers.accept ?? '').includes('text/x-diff')) {
      return reply.header('content-type', 'text/x-diff; charset=utf-8').send(changes.map(patchOf).join(''));
    }
    const { after } = query;
    const start = after === undefined ? 0 : 1 + changes.findIndex(({ path }) => path === after);
    if (after !== undefined && start === 0) throw new ServiceError('cursor_invalid', { after });
    const rest = changes.slice(start);
    const page = fittingPage(rest, ({ patch, path }) => 128 + path.length + (patch?.length ?? 0));
    return toPathList(page.map(toFileDiffResource), rest.length > page.length);
  });
}

async function baseOf(gear: Gear, { tenant, sessionId }: SessionKey, since: string): Promise<DiffBase> {
  if (since === 'session') return { of: 'session' };
  const turn = await requireTurn(gear, tenant, sessionId, since);
  if (turn.startedAt !== null) return { of: 'turn', base: turn.base };
  throw new ServiceError('turn_not_running', { turn_id: turn.id }, { message: 'The turn has not begun.' });
}

function patchOf({ path, patch, status }: FileDiff): string {
  if (patch !== null) return patch;
  const shown = JSON.stringify(path);
  return `# ${shown} was ${status}; it is binary, or too large to be shown.\n`;
}
