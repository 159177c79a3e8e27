// /api/v1/sessions/{id}/archive: a workspace, or a directory of it, out of and into an archive.

import { operations } from '../../api/operations.ts';
import type { HttpServer } from '../../http/server.ts';
import type { Gear } from '../gateway-parts.ts';
import { sendOctets } from '../octet-reply.ts';
import { registerOperation } from '../register-operation.ts';
import { keyOf, uploadOf } from './files.ts';

const contentTypes = { 'tar.gz': 'application/gzip', 'tar.zst': 'application/zstd' } as const;

export function registerArchive(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.readArchive, async ({ params, query, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    const { path, format } = query;
    const content = await gear.workspace.readArchive(key, path, format);
    const headers = {
      'content-type': contentTypes[format],
      'content-disposition': `attachment; filename="${key.sessionId}.${format}"`,
    };
    return sendOctets(gear, request, reply, 200, headers, content);
  });

  registerOperation(app, gear, operations.writeArchive, async ({ params, query, request, reply }) => {
    const key = await keyOf(gear, request, params.session_id);
    const content = uploadOf(gear, request, reply, gear.limits.archiveBytes);
    return gear.workspace.writeArchive(key, query.path, query.format, content);
  });
}
