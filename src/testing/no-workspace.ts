// For gateways whose test is not about files: asked for one, it has no worker.

import type { WorkspaceLink } from '../contracts/workspace-link.ts';
import { ServiceError } from '../core/errors.ts';

const refuse = (): Promise<never> => Promise.reject(new ServiceError('no_worker_ready'));

export const noWorkspace: WorkspaceLink = {
  listFiles: refuse,
  readFile: refuse,
  writeFile: refuse,
  deleteFile: refuse,
  readArchive: refuse,
  writeArchive: refuse,
  diff: refuse,
};
