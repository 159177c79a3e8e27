// The commands that ask a running fleet: sessions, jobs, approvals, workers, usage. Their options; what they do is in commands/.

import type { Command, CommandOptions } from 'commander';
import type { CliContext } from './cli-context.ts';
import { type ApprovalListOptions, runApprovalDecide, runApprovalsList } from './commands/approvals.ts';
import { runUsage, runWorkers } from './commands/fleet.ts';
import {
  type JobCreateOptions,
  type JobListOptions,
  runJobsCreate,
  runJobsList,
  runJobsMove,
  runJobsRemove,
  runJobsShow,
} from './commands/jobs.ts';
import { runSessionLogs, type LogsOptions } from './commands/session-logs.ts';
import {
  runSessionsList,
  runSessionsMove,
  runSessionsRemove,
  runSessionsShow,
  runSessionsSteer,
  type SessionListOptions,
} from './commands/sessions.ts';
import type { ExitCode } from './exit-codes.ts';
import { addSettingOptions, givenSettings } from './setting-options.ts';

type AsJson = { readonly json?: boolean };

const whichFleet = `
The fleet that answers: the one at CODEX_FLEET_URL (with CODEX_FLEET_TOKEN), else the one that runs on
the data directory.`;

const waitHelp = `
With --wait the exit code says how the job ended: 0 completed, 1 failed, 124 timed out, 130 cancelled. Ctrl-C
ends the waiting; the job goes on.`;

export function addAskingCommands(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const asking = askingCommands(program);

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
  const steer = asking(sessions, 'steer', 'give the running turn of a session more to go by')
    .argument('<session>', 'its id, or the name that was chosen for it')
    .argument('[prompt]', 'what the agent should know; - or nothing: from stdin')
    .option('--turn <id>', 'this turn and no other (default: the one that runs)')
    .option('--json', 'print what the fleet answers');
  steer.action(async (ref: string, prompt: string | undefined, options: AsJson & { readonly turn?: string }) => {
    finish(await runSessionsSteer(context, ref, prompt, options, givenSettings(steer)));
  });
  for (const [what, description] of [
    ['hibernate', 'let the processes of sessions go; their next turns wake them'],
    ['wake', 'give sessions a process before their next turn; lets quarantined ones go on'],
  ] as const) {
    const move = asking(sessions, what, description)
      .argument('<session...>', 'their ids or names')
      .option('--json', 'print what the fleet answers');
    move.action(async (refs: readonly string[], options: AsJson) => {
      finish(await runSessionsMove(context, refs, what, options, givenSettings(move)));
    });
  }
  const remove = asking(sessions, 'rm', 'erase sessions: what runs is ended, files and events are removed')
    .argument('<session...>', 'their ids or names')
    .option('--json', 'print what the fleet answers');
  remove.action(async (refs: readonly string[], options: AsJson) => {
    finish(await runSessionsRemove(context, refs, options, givenSettings(remove)));
  });

  addJobs(program, context, finish);
  addApprovals(program, context, finish);

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

function addJobs(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const asking = askingCommands(program);
  const jobs = program
    .command('jobs')
    .copyInheritedSettings(program)
    .description('prompts that run without anybody waiting for them');
  const create = asking(jobs, 'create', 'have a prompt run, now or later')
    .argument('[prompt]', 'what the agent should do; - or nothing: from stdin')
    .option('--session <id>', 'the session to go on with, by id or by a name of your own')
    .option('--model <name>', 'the model to use')
    .option('--effort <level>', 'how much the model reasons: none, minimal, low, medium, high, xhigh')
    .option('--output-schema <file>', 'a JSON Schema that the answer must fit')
    .option('--timeout <duration>', 'the longest that each attempt may run: seconds, or 90s, 5m, 2h')
    .option('--attempts <n>', 'how often it is tried when it fails, 1 to 10 (default: 1)')
    .option('--at <time>', 'not before this time, such as 2026-12-24T18:00:00Z')
    .option('--webhook <url>', 'who is told of it')
    .option('--wait', 'until it has ended; print its answer')
    .option('--json', 'print what the fleet answers')
    .addHelpText('after', waitHelp);
  create.action(async (prompt: string | undefined, options: JobCreateOptions) => {
    finish(await runJobsCreate(context, prompt, options, givenSettings(create)));
  });
  const list = asking(jobs, 'ls', 'list jobs, the latest first')
    .option('--status <status>', 'only those: queued, running, completed, failed, cancelled')
    .option('--schedule <id>', 'only those that this schedule made')
    .option('--limit <n>', 'how many, 1 to 100 (default: 20)')
    .option('--after <id>', 'go on behind this job')
    .option('--json', 'print what the fleet answers');
  list.action(async (options: JobListOptions) => {
    finish(await runJobsList(context, options, givenSettings(list)));
  });
  const show = asking(jobs, 'show', 'look at one job: how it stands, its attempts, its answer')
    .argument('<job>', 'its id')
    .option('--wait', 'until it has ended')
    .option('--json', 'print what the fleet answers')
    .addHelpText('after', waitHelp);
  show.action(async (id: string, options: AsJson & { readonly wait?: boolean }) => {
    finish(await runJobsShow(context, id, options, givenSettings(show)));
  });
  for (const [what, description] of [
    ['cancel', 'end jobs that wait or run'],
    ['retry', 'try jobs again that failed or were cancelled'],
  ] as const) {
    const move = asking(jobs, what, description)
      .argument('<job...>', 'their ids')
      .option('--json', 'print what the fleet answers');
    move.action(async (ids: readonly string[], options: AsJson) => {
      finish(await runJobsMove(context, ids, what, options, givenSettings(move)));
    });
  }
  const remove = asking(jobs, 'rm', 'erase jobs that have ended, with the deliveries that tell of them')
    .argument('<job...>', 'their ids')
    .option('--json', 'print what the fleet answers');
  remove.action(async (ids: readonly string[], options: AsJson) => {
    finish(await runJobsRemove(context, ids, options, givenSettings(remove)));
  });
}

function addApprovals(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const asking = askingCommands(program);
  const approvals = program
    .command('approvals')
    .copyInheritedSettings(program)
    .description('what the agents ask: look at it and answer it');
  const list = asking(approvals, 'ls', 'list what waits for an answer, the oldest first', { isDefault: true })
    .option('--session <id>', 'only that of this session, by id or name')
    .option('--all', 'what was answered and what expired, too; the latest first')
    .option('--after <id>', 'go on behind this approval')
    .option('--json', 'print what the fleet answers');
  list.action(async (options: ApprovalListOptions) => {
    finish(await runApprovalsList(context, options, givenSettings(list)));
  });
  const decisions = {
    accept: 'let the agent do it, this once',
    decline: 'the turn goes on without it',
    cancel: 'the turn ends',
  } as const;
  for (const [decision, description] of Object.entries(decisions) as [keyof typeof decisions, string][]) {
    const answer = asking(approvals, decision, description).argument('<id>', 'the id of the approval');
    if (decision === 'accept') answer.option('--for-session', 'and whenever the session asks the same again');
    answer.option('--json', 'print what the fleet answers');
    answer.action(async (id: string, options: AsJson & { readonly forSession?: boolean }) => {
      finish(await runApprovalDecide(context, decision, id, options, givenSettings(answer)));
    });
  }
}

function askingCommands(
  program: Command,
): (parent: Command, name: string, description: string, options?: CommandOptions) => Command {
  return (parent, name, description, options) => {
    const command = parent
      .command(name, options)
      .copyInheritedSettings(program)
      .description(description)
      .addHelpText('after', whichFleet);
    addSettingOptions(command, (flag) => flag === '--data-dir');
    return command;
  };
}
