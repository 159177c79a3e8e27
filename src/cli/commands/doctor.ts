// `codex-fleet doctor`: whether a fleet could run here, and what to do where it could not.

import type { Check } from '../../app/doctor-check.ts';
import { type DoctorRole, doctorRoles } from '../../app/doctor-role.ts';
import { ConfigProblems } from '../../config/problems.ts';
import type { Config } from '../../config/resolve.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodes, type ExitCode } from '../exit-codes.ts';
import { printable } from '../output.ts';
import type { SettingFlags } from '../setting-options.ts';

export async function runDoctor(
  context: CliContext,
  options: { readonly json?: boolean; readonly role?: string },
  given: SettingFlags,
): Promise<ExitCode> {
  const checks = await diagnose(context, roleOf(options.role), given);
  const isOk = checks.every(({ status }) => status !== 'fail');
  await context.stdout.write(
    options.json === true
      ? `${JSON.stringify({ ok: isOk, checks }, null, 2)}\n`
      : `${checks.map(linesOf).join('')}${summaryOf(checks)}\n`,
  );
  return isOk ? exitCodes.completed : exitCodes.turnFailed;
}

function roleOf(given: string | undefined): DoctorRole | null {
  if (given === undefined) return null;
  const role = doctorRoles.find((one) => one === given);
  if (role === undefined) throw new CliError(exitCodes.usage, `--role takes ${doctorRoles.join(', ')}, not ${given}`);
  return role;
}

async function diagnose(context: CliContext, role: DoctorRole | null, given: SettingFlags): Promise<readonly Check[]> {
  let config: Config;
  try {
    ({ config } = context.loadConfig(given.flags, given.configFile, role ?? undefined));
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error;
    // What the others would say depends on settings that nobody can know.
    const advice = 'mend them; docs/reference/config.md lists every setting';
    return error.problems.map(({ message }) => ({ name: 'config', status: 'fail', message, advice }));
  }
  const inOrder: Check = { name: 'config', status: 'ok', message: 'the settings are in order', advice: null };
  return [inOrder, ...(await context.parts.diagnose(config, role))];
}

function linesOf({ name, status, message, advice }: Check): string {
  const line = `${status.padEnd(4)}   ${name.padEnd(15)}   ${printable(message)}\n`;
  return advice === null || status === 'ok' ? line : `${line}${' '.repeat(25)}→ ${printable(advice)}\n`;
}

function summaryOf(checks: readonly Check[]): string {
  const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
  const failed = count('fail');
  if (failed > 0) return `\n${failed} of ${checks.length} checks failed: a fleet would not work here`;
  return `\na fleet can run here${count('warn') > 0 ? `, with ${count('warn')} ${count('warn') === 1 ? 'warning' : 'warnings'}` : ''}`;
}
