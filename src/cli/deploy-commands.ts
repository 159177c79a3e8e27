// The commands about a cluster that is not asked through its gateway: overlays, their state, their cost.

import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import { costFlags, type CostOptions, runCost } from './commands/cost.ts';
import { type RenderOptions, runDeployRender, runDeployStatus, type StatusOptions } from './commands/deploy.ts';
import type { ExitCode } from './exit-codes.ts';

const overlayHelp = 'an overlay that comes with the program (local, gke-dev, gke-prod), or a directory of your own';

const renderHelp = `
  codex-fleet deploy render gke-prod | kubectl apply -f -

What an overlay leaves to you (project, host name, digests of the images) has to be filled in first.`;

export function addDeployCommands(program: Command, context: CliContext, finish: (code: ExitCode) => void): void {
  const deploy = program
    .command('deploy')
    .copyInheritedSettings(program)
    .description('look at what a cluster is to run, and at what it runs');
  deploy
    .command('render')
    .copyInheritedSettings(program)
    .description('print the objects of an overlay, as kubectl takes them')
    .argument('<overlay>', overlayHelp)
    .option('--allow-unset', 'also where something is still to be filled in')
    .addHelpText('after', renderHelp)
    .action(async (overlay: string, options: RenderOptions) => {
      finish(await runDeployRender(context, overlay, options));
    });
  deploy
    .command('status')
    .copyInheritedSettings(program)
    .description('compare the workloads of an overlay with those of the cluster that kubectl speaks to')
    .argument('<overlay>', overlayHelp)
    .option('--context <name>', 'the context of kubectl (default: its current one)')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExit codes: 0 all is as it should be, 1 something is not, 5 the cluster cannot be asked.')
    .action(async (overlay: string, options: StatusOptions) => {
      finish(await runDeployStatus(context, overlay, options));
    });

  const cost = program
    .command('cost')
    .copyInheritedSettings(program)
    .description('reckon what an overlay costs in a month at list prices')
    .argument('<overlay>', overlayHelp)
    .option('--json', 'as JSON, with what was assumed');
  for (const [flag, [, description]] of Object.entries(costFlags)) {
    cost.option(`--${flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} <n>`, description);
  }
  cost.action(async (overlay: string, options: CostOptions) => {
    finish(await runCost(context, overlay, options));
  });
}
