// Finds what the installed @openai/codex package brings: the native binary, its bubblewrap, its version.
// The package's own launcher script is never run: it would hide the process behind another.

import { access, constants, readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ServiceError } from '../core/errors.ts';

export type CodexBinary = {
  readonly version: string;
  /** Holds bin/, codex-path/ and codex-resources/; bound as a whole into the cage. */
  readonly vendorDir: string;
  readonly codexPath: string;
  /** null when this build of Codex brings none. */
  readonly bwrapPath: string | null;
};

export class CodexNotInstalled extends ServiceError {
  constructor(message: string, cause?: unknown) {
    super('agent_start_failed', {}, { message, cause });
    this.name = 'CodexNotInstalled';
  }
}

/** `from`: a file or file: URL inside the package whose dependency Codex is; by default this one. */
export async function locateCodex(
  options: { readonly from?: string; readonly platform?: string; readonly arch?: string } = {},
): Promise<CodexBinary> {
  const platform = options.platform ?? process.platform;
  const arch = options.arch ?? process.arch;
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    throw new CodexNotInstalled(
      `Codex agents run on Linux on x64 or arm64, not on ${platform} on ${arch}: use the container image there`,
    );
  }
  const requireFromUs = createRequire(options.from ?? import.meta.url);
  const shim = resolvePackage(requireFromUs, '@openai/codex', 'npm install @openai/codex');
  const native = `@openai/codex-${platform}-${arch}`;
  // Beside @openai/codex or below it, as the package manager likes; looked up from there, as its launcher does.
  const manifestPath = resolvePackage(
    createRequire(shim),
    native,
    `npm install --include=optional @openai/codex (${native} is an optional part of it)`,
  );
  const vendor = path.join(path.dirname(manifestPath), 'vendor');
  const triple = (await readdir(vendor).catch(() => [])).find((name) => name.includes('linux'));
  if (triple === undefined)
    throw new CodexNotInstalled(`${native} is installed without its binary; install @openai/codex again`);
  const vendorDir = path.join(vendor, triple);
  const codexPath = path.join(vendorDir, 'bin', 'codex');
  if (!(await isExecutable(codexPath)))
    throw new CodexNotInstalled(`${codexPath} cannot be executed; install @openai/codex again`);
  const bwrapPath = path.join(vendorDir, 'codex-resources', 'bwrap');
  return {
    version: await readVersion(shim),
    vendorDir,
    codexPath,
    bwrapPath: (await isExecutable(bwrapPath)) ? bwrapPath : null,
  };
}

function resolvePackage(from: NodeJS.Require, name: string, remedy: string): string {
  try {
    return from.resolve(`${name}/package.json`);
  } catch (error) {
    throw new CodexNotInstalled(`${name} is not installed: run ${remedy}`, error);
  }
}

async function readVersion(manifestPath: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(manifestPath, 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? manifest.version : undefined;
  if (typeof version !== 'string') throw new CodexNotInstalled(`${manifestPath} names no version`);
  return version;
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
