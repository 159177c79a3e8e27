// Loading as a command does it: the real environment, the real machine, the real file system.

import { readFileSync } from 'node:fs';
import { readEnvironment, readHostFacts } from './host-facts.ts';
import { loadConfig } from './load.ts';
import type { LoadedConfig } from './load.ts';
import type { ConfigRole } from './resolve.ts';
import type { Flags } from './sources.ts';

/** Throws ConfigProblems. */
export function loadConfigFromProcess(flags: Flags, configFile?: string, role?: ConfigRole): LoadedConfig {
  return loadConfig({
    env: readEnvironment(),
    flags,
    facts: readHostFacts(),
    readFile: readFileIfPresent,
    ...(configFile === undefined ? {} : { configFile }),
    ...(role === undefined ? {} : { role }),
  });
}

function readFileIfPresent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
