// `codex-fleet workers` and `codex-fleet usage`: what the fleet says of itself.

import { workerSchema } from '../../api/fleet.ts';
import { listSchema } from '../../api/list.ts';
import type { UsageOnWire } from '../../api/usage.ts';
import { usageReportSchema } from '../../api/usage-report.ts';
import type { CliContext } from '../cli-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { readAnswer } from '../read-answer.ts';
import { clientOfRunningFleet } from '../running-fleet.ts';
import type { SettingFlags } from '../setting-options.ts';
import { textTable } from '../table.ts';

export async function runWorkers(
  context: CliContext,
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const answer = await client.call('GET', '/api/v1/workers');
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify(answer)}\n`);
    return exitCodes.completed;
  }
  const rows = readAnswer(listSchema(workerSchema), answer, client).data.map((worker) => [
    worker.id,
    worker.status,
    `${worker.slots.bound} bound, ${worker.slots.idle} idle, at most ${worker.slots.limit}`,
    String(worker.busy_sessions),
    String(worker.waiting_turns),
    worker.isolation.cage,
    worker.isolation.inner_sandbox,
    worker.codex_version,
    worker.started_at,
  ]);
  const head = ['ID', 'STATUS', 'SLOTS', 'RUNNING', 'WAITING', 'CAGE', 'SANDBOX', 'CODEX', 'STARTED'];
  await context.stdout.write(textTable(head, rows));
  return exitCodes.completed;
}

export async function runUsage(
  context: CliContext,
  options: { readonly since?: string; readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const query = new URLSearchParams(options.since === undefined ? {} : { since: options.since });
  const answer = await client.call('GET', `/api/v1/usage?${query.toString()}`);
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify(answer)}\n`);
    return exitCodes.completed;
  }
  const report = readAnswer(usageReportSchema, answer, client);
  const row = (name: string, turns: number, usage: UsageOnWire): string[] => [
    name,
    String(turns),
    String(usage.input_tokens),
    String(usage.cached_input_tokens),
    String(usage.output_tokens),
    usage.cost_usd === null ? '-' : usage.cost_usd.toFixed(4),
  ];
  const columns = ['TURNS', 'INPUT', 'CACHED', 'OUTPUT', 'USD'];
  const total = row('total', report.total.turns, report.total.usage);
  const byModel = report.by_model.map(({ model, turns, usage }) => row(model ?? '(unknown)', turns, usage));
  const byDay = report.by_day.map(({ day, turns, usage }) => row(day, turns, usage));
  await context.stdout.write(
    `${textTable(['MODEL', ...columns], [...byModel, total])}\n${textTable(['DAY', ...columns], byDay)}`,
  );
  if (!report.is_complete) await context.stderr.write('there is more than one answer looks at: the newest is in it\n');
  return exitCodes.completed;
}
