// Every gcloud and kubectl command that the scripts run and the documents show.

import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { findCommands, findInMarkdown, type FoundCommand } from './shell-commands.ts';

const root = path.dirname(path.dirname(path.dirname(import.meta.dirname)));

const place = ['--project=my-project', '--region=us-central1', '--dry-run'];
const domain = '--domain=codex.example.com';

/** Each way to run them that runs other commands. */
export const dryRuns: readonly (readonly [string, readonly string[]])[] = (['dev', 'prod'] as const).flatMap(
  (profile) => [
    ['bootstrap.sh', [...place, domain, `--profile=${profile}`]],
    ['bootstrap.sh', [...place, domain, `--profile=${profile}`, '--update', '--dns-zone=codex']],
    ['teardown.sh', [...place, domain, `--profile=${profile}`, '--dns-zone=codex', '--delete-data']],
  ],
);

export function readDryRun(script: string, args: readonly string[]): string {
  const ran = spawnSync('bash', [path.join(root, 'deploy/bootstrap', script), ...args], {
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent' },
  });
  if (ran.status !== 0) throw new Error(`${script} ${args.join(' ')}: ${ran.stderr}`);
  return ran.stdout;
}

function filesOf(...patterns: readonly string[]): string[] {
  return globSync([...patterns], { cwd: root }).toSorted();
}

export function usedCommands(): FoundCommand[] {
  const scripts = dryRuns.flatMap(([script, args]) =>
    findCommands(readDryRun(script, args), `${script} ${args.slice(2).join(' ')}`),
  );
  const documents = filesOf('deploy/**/*.md', 'docs/**/*.md', '*.md').flatMap((file) =>
    findInMarkdown(readFileSync(path.join(root, file), 'utf8'), file),
  );
  const seen = new Set<string>();
  return [...scripts, ...documents].filter(({ words }) => {
    const line = words.join(' ');
    if (seen.has(line)) return false;
    seen.add(line);
    return true;
  });
}

/** What is shipped beside commands: manifests, scripts, builds. */
export function shippedFiles(): readonly { readonly file: string; readonly text: string }[] {
  return filesOf('deploy/**/*.{yaml,yml,sh,env,json}', 'deploy/**/*Dockerfile').map((file) => ({
    file,
    text: readFileSync(path.join(root, file), 'utf8'),
  }));
}
