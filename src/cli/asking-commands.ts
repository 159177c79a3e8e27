// The commands that ask a running fleet: sessions, workers, usage. Their options; what they do is in commands/.

import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import { runUsage, runWorkers } from './commands/fleet.ts';
import { runSessionLogs, type LogsOptions } from './commands/session-logs.ts';
import { runSessionsList, runSessionsRemove, runSessionsShow, type SessionListOptions } from './commands/sessions.ts';
import type { ExitCode } from './exit-codes.ts';
import { addSettingOptions, givenSettings } from './setting-options.ts';

type AsJson = { readonly json?: boolean };

const whichFleet = `
The fleet that answers: the one at CODEX_FLEET_URL (with CODEX_FLEET_TOKEN), else the one that runs on
the data directory.`;

export function addAskingCommands(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const asking = (parent: Command, name: string, description: string): Command => {
    const command = parent
      .command(name)
      .copyInheritedSettings(program)
      .description(description)
      .addHelpText('after', whichFleet);
    addSettingOptions(command, (flag) => flag === '--data-dir');
    return command;
  };

  const sessions = program
    .command('sessions')
    .copyInheritedSettings(program)
    .description('look at sessions and end them');
  const list = asking(sessions, 'ls', 'list sessions, the latest first')
    .option('--limit <n>', 'how many, 1 to 100 (default: 20)')
    .option('--after <id>', 'go on behind this session')
    .option('--json', 'print what the fleet answers');
  list.action(async (options: SessionListOptions) => {
    finish(await runSessionsList(context, options, givenSettings(list)));
  });
  const show = asking(sessions, 'show', 'look at one session: where it is, how it stands, its last error')
    .argument('<session>', 'its id, or the name that was chosen for it')
    .option('--json', 'as JSON');
  show.action(async (ref: string, options: AsJson) => {
    finish(await runSessionsShow(context, ref, options, givenSettings(show)));
  });
  const logs = asking(sessions, 'logs', 'print the events of a session')
    .argument('<session>', 'its id, or the name that was chosen for it')
    .option('-f, --follow', 'go on with those to come, until Ctrl-C')
    .option('--after <cursor>', 'start behind this event')
    .option('--json', 'every event, as JSON lines');
  logs.action(async (ref: string, options: LogsOptions) => {
    finish(await runSessionLogs(context, ref, options, givenSettings(logs)));
  });
  const remove = asking(sessions, 'rm', 'erase sessions: what runs is ended, files and events are removed')
    .argument('<session...>', 'their ids or names')
    .option('--json', 'print what the fleet answers');
  remove.action(async (refs: readonly string[], options: AsJson) => {
    finish(await runSessionsRemove(context, refs, options, givenSettings(remove)));
  });

  const workers = asking(program, 'workers', 'list the workers').option('--json', 'print what the fleet answers');
  workers.action(async (options: AsJson) => {
    finish(await runWorkers(context, options, givenSettings(workers)));
  });
  const usage = asking(program, 'usage', 'what was consumed, by model and by day')
    .option('--since <time>', 'from this date or time on (default: the last 30 days)')
    .option('--json', 'print what the fleet answers');
  usage.action(async (options: AsJson & { readonly since?: string }) => {
    finish(await runUsage(context, options, givenSettings(usage)));
  });
}
