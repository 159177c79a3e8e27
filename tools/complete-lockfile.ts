// Adds to package-lock.json the binaries of other platforms that npm left out of it. Where a registry
// mirror does not carry them, npm writes a lockfile without them and then `npm ci` refuses it, although
// nothing of theirs would be installed. With --check it writes nothing and fails on any that is missing.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

type LockedPackage = {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};
type Lockfile = { packages: Record<string, LockedPackage> };

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'x64'];

/** What npm would have copied from the package: its name says for which machine it is. */
function entryFor(name: string, version: string, parent: LockedPackage): LockedPackage {
  const words = name.split(/[/-]/);
  const os = systems.filter((system) => words.includes(system));
  const cpu = processors.filter((processor) => words.includes(processor));
  if (os.length !== 1 || cpu.length !== 1 || !/^\d/.test(version)) {
    throw new Error(`${name}@${version} is not in the lockfile, and its name does not say for which machine it is`);
  }
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : ['glibc'];
  const isDev = parent.dev === true ? { dev: true } : {};
  return { version, cpu, ...isDev, ...(os[0] === 'linux' ? { libc } : {}), optional: true, os };
}

const path = join(dirname(import.meta.dirname), 'package-lock.json');
const lockfile = JSON.parse(readFileSync(path, 'utf8')) as Lockfile;
const missing = new Map<string, LockedPackage>();
for (const [place, locked] of Object.entries(lockfile.packages)) {
  for (const [name, version] of Object.entries(locked.optionalDependencies ?? {})) {
    const places = [`node_modules/${name}`, `${place}/node_modules/${name}`];
    if (places.some((candidate) => candidate in lockfile.packages)) continue;
    missing.set(`node_modules/${name}`, entryFor(name, version, locked));
  }
}

if (missing.size > 0 && process.argv.includes('--check')) {
  console.log(
    `package-lock.json lacks packages of other platforms; run "npm run lock":\n${[...missing.keys()].join('\n')}`,
  );
  process.exitCode = 1;
} else if (missing.size > 0) {
  // The package itself, then all others by place, as npm writes them.
  const { '': self, ...others } = { ...lockfile.packages, ...Object.fromEntries(missing) };
  const byPlace = Object.entries(others).sort(([a], [b]) => a.localeCompare(b, 'en'));
  lockfile.packages = { ...(self === undefined ? {} : { '': self }), ...Object.fromEntries(byPlace) };
  writeFileSync(path, `${JSON.stringify(lockfile, null, 2)}\n`);
  console.log(`added ${missing.size}`);
}
