// The files that cages share: a small /etc of our own, and what the host's system directories look like.

import { lstat, mkdir, readlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { SystemDir } from './cage.ts';

const files: Readonly<Record<string, string>> = {
  passwd:
    'root:x:0:0:root:/:/bin/false\ncodex:x:1000:1000:codex:/s/home:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  group: 'root:x:0:\ncodex:x:1000:\nnogroup:x:65534:\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  // Whoever commits is the agent, until the repository says otherwise.
  gitconfig: '[user]\n\tname = Codex\n\temail = codex@localhost\n[init]\n\tdefaultBranch = main\n',
  hosts: '127.0.0.1 localhost codex\n::1 localhost\n',
  'resolv.conf': '',
  // What no configuration of a workspace can widen: no MCP server starts, whatever a project says.
  'requirements.toml':
    'allowed_sandbox_modes = ["read-only", "workspace-write", "danger-full-access"]\n\n[mcp_servers]\n',
};

/** Written once per worker, outside of every cage; bound read-only into each. */
export async function writeCageKit(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(path.join(dir, name), text)));
}

const candidates = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** How this host lays out its system: linked into /usr on most, directories of their own on some. */
export async function readSystemDirs(): Promise<SystemDir[]> {
  const found = await Promise.all(candidates.map(readSystemDir));
  return found.filter((dir) => dir !== null);
}

async function readSystemDir(dir: string): Promise<SystemDir | null> {
  const stats = await lstat(dir).catch(() => null);
  if (stats === null) return null;
  if (stats.isSymbolicLink()) return { path: dir, linkTarget: await readlink(dir) };
  return stats.isDirectory() ? { path: dir, linkTarget: null } : null;
}
