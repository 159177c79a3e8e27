// Makes a machine seem to allow no cage: the Codex that is found there is the installed one, but for its
// bubblewrap, which says what it says where user namespaces are forbidden. Codex itself uses its own.

import { chmodSync, cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../e2e/fleet-under-test.ts';
import { withCodexAt } from './other-codex.ts';

const says = 'bwrap: No permissions to create a new namespace, likely because the kernel does not allow it.';

/** What a worker finds in its environment, so that it cannot make a cage. `dir` is made. */
export function withoutCages(dir: string): Readonly<Record<string, string>> {
  const installed = path.join(repository, 'node_modules', '@openai');
  const scope = path.join(dir, 'node_modules', '@openai');
  mkdirSync(path.join(scope, 'codex'), { recursive: true });
  const shim = path.join(scope, 'codex', 'package.json');
  cpSync(path.join(installed, 'codex', 'package.json'), shim);
  for (const native of readdirSync(installed).filter((name) => name.startsWith('codex-linux-'))) {
    const from = path.join(installed, native);
    mkdirSync(path.join(scope, native), { recursive: true });
    cpSync(path.join(from, 'package.json'), path.join(scope, native, 'package.json'));
    for (const triple of readdirSync(path.join(from, 'vendor'))) {
      const here = path.join(scope, native, 'vendor', triple);
      const there = path.join(from, 'vendor', triple);
      mkdirSync(path.join(here, 'codex-resources'), { recursive: true });
      for (const name of readdirSync(there))
        if (name !== 'codex-resources') symlinkSync(path.join(there, name), path.join(here, name));
      const bwrap = path.join(here, 'codex-resources', 'bwrap');
      writeFileSync(bwrap, `#!/bin/sh\necho '${says}' >&2\nexit 1\n`);
      chmodSync(bwrap, 0o755);
    }
  }
  return withCodexAt(shim, dir);
}
