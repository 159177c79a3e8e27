// The commands and their options, and the one place that turns whatever went wrong into a message and
// an exit code.

import { inspect } from 'node:util';
import { Command, CommanderError } from 'commander';
import { fleetVersion } from '../app/version.ts';
import { ConfigProblems } from '../config/problems.ts';
import type { CliContext } from './cli-context.ts';
import { addAskingCommands } from './asking-commands.ts';
import { addDeployCommands } from './deploy-commands.ts';
import { runConfigCheck, runConfigShow, type ConfigShowOptions } from './commands/config.ts';
import { runDoctor } from './commands/doctor.ts';
import { runExec, type ExecOptions } from './commands/exec.ts';
import { runGateway } from './commands/gateway.ts';
import { runModelProxy } from './commands/model-proxy.ts';
import { runSessionManager } from './commands/session-manager.ts';
import { runUp } from './commands/up.ts';
import { runVersion } from './commands/version.ts';
import { runWorker } from './commands/worker.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';
import { FleetRefusal, FleetUnreachable } from './fleet-client.ts';
import { addSettingOptions, givenSettings } from './setting-options.ts';

const workerFlags: ReadonlySet<string> = new Set(['--worker-host', '--worker-port']);
const gatewayFlags: ReadonlySet<string> = new Set(['--host', '--port', '--allowed-origins']);
const execFlags: ReadonlySet<string> = new Set([
  '--data-dir',
  '--model-provider',
  '--model',
  '--base-url',
  '--api-key-env',
  '--api-key-file',
  '--log-level',
]);

/** `args` without the names of Node and of the program. Never throws. */
export async function runCli(context: CliContext, args: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.completed;
  const written: Promise<void>[] = [];
  const program = new Command('codex-fleet')
    .description("Runs OpenAI's Codex agent as a service.")
    .version(fleetVersion)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void written.push(context.stdout.write(text)),
      writeErr: (text) => void written.push(context.stderr.write(text)),
    });
  const command = (name: string, description: string): Command =>
    program.command(name).description(description).copyInheritedSettings(program);

  const up = command('up', 'start the whole fleet in this process');
  addSettingOptions(up, (flag) => !workerFlags.has(flag));
  up.action(async () => {
    exitCode = await runUp(context, givenSettings(up));
  });

  const worker = command('worker', 'start a worker as a process of its own');
  addSettingOptions(worker, (flag) => !gatewayFlags.has(flag));
  worker.action(async () => {
    exitCode = await runWorker(context, givenSettings(worker));
  });

  const gateway = command('gateway', 'start a gateway of a cluster');
  addSettingOptions(gateway, (flag) => !workerFlags.has(flag));
  gateway.action(async () => {
    exitCode = await runGateway(context, givenSettings(gateway));
  });

  const manager = command('session-manager', 'start a session manager of a cluster');
  addSettingOptions(manager, (flag) => !workerFlags.has(flag) && !gatewayFlags.has(flag));
  manager.action(async () => {
    exitCode = await runSessionManager(context, givenSettings(manager));
  });

  const modelProxy = command('model-proxy', 'start a model proxy of a cluster');
  addSettingOptions(modelProxy, (flag) => !workerFlags.has(flag) && !gatewayFlags.has(flag));
  modelProxy.action(async () => {
    exitCode = await runModelProxy(context, givenSettings(modelProxy));
  });

  const exec = command('exec', 'run one prompt and print the answer')
    .argument('[prompt]', 'what the agent should do; - or nothing: from stdin')
    .option('--session <id>', 'the session to go on with, by id or by a name of your own')
    .option('--timeout <duration>', 'the longest that the turn may run: seconds, or 90s, 5m, 2h')
    .option('--effort <level>', 'how much the model reasons: none, minimal, low, medium, high, xhigh')
    .option('--output-schema <file>', 'a JSON Schema that the answer must fit')
    .option('--on-busy <what>', 'when the session has a turn already: queue, reject (default: queue)')
    .option('--json', 'print the events as JSON lines instead of the answer')
    .addHelpText('after', execHelp);
  addSettingOptions(exec, (flag) => execFlags.has(flag));
  exec.action(async (prompt: string | undefined, options: ExecOptions) => {
    exitCode = await runExec(context, prompt, options, givenSettings(exec));
  });

  addAskingCommands(program, context, (code) => {
    exitCode = code;
  });

  addDeployCommands(program, context, (code) => {
    exitCode = code;
  });

  const doctor = command('doctor', 'check whether a fleet can run here, and what to do where not')
    .option('--role <role>', 'one role of a cluster only (default: that of this container, else the whole fleet)')
    .option('--json', 'as JSON');
  addSettingOptions(doctor, () => true);
  doctor.action(async (options: { json?: boolean; role?: string }) => {
    exitCode = await runDoctor(context, options, givenSettings(doctor));
  });

  const config = command('config', 'look at the settings');
  const show = config
    .command('show')
    .copyInheritedSettings(program)
    .description('print the settings that are in effect; secrets are hidden')
    .option('--origin', 'where each came from: a flag, a variable, a place in the file')
    .option('--json', 'as JSON, origins included');
  addSettingOptions(show, () => true);
  show.action(async (options: ConfigShowOptions) => {
    exitCode = await runConfigShow(context, options, givenSettings(show));
  });
  const check = config
    .command('check')
    .copyInheritedSettings(program)
    .description('say what is wrong with the settings, or that they are in order');
  addSettingOptions(check, () => true);
  check.action(async () => {
    exitCode = await runConfigCheck(context, givenSettings(check));
  });

  const version = command('version', 'print what runs here').option('--json', 'as JSON');
  version.action(async (options: { json?: boolean }) => {
    exitCode = await runVersion(context, options);
  });

  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    return await explain(context, error);
  } finally {
    await Promise.all(written);
  }
}

const execHelp = `
The fleet that answers: the one at CODEX_FLEET_URL (with CODEX_FLEET_TOKEN), else the one that runs on
the data directory, else one started for the call.

Exit codes: 0 completed, 1 failed, 2 usage, 4 not authenticated, 5 unreachable, 6 waits for a decision,
124 timed out, 130 cancelled.`;

async function explain({ stderr }: CliContext, error: unknown): Promise<ExitCode> {
  // Commander has said it already, help and version included.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.completed : exitCodes.usage;
  if (error instanceof ConfigProblems) {
    await stderr.write(`${error.message}\n`);
    return exitCodes.usage;
  }
  if (error instanceof CliError || error instanceof FleetRefusal) {
    await stderr.write(`codex-fleet: ${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof FleetUnreachable) {
    await stderr.write(`codex-fleet: ${error.message}${error.isUnsent ? '' : '; the turn may run'}\n`);
    return exitCodes.unreachable;
  }
  // Not foreseen: everything that is known about it, causes included.
  await stderr.write(`codex-fleet: ${inspect(error)}\n`);
  return exitCodes.turnFailed;
}
