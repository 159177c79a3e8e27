// `codex-fleet jobs`: have a prompt run without waiting for it, or wait all the same; list, look at, cancel, try
// again, erase.

import { deletedJobSchema, jobSchema, madeJobSchema, type JobResource } from '../../api/jobs.ts';
import { listSchema } from '../../api/list.ts';
import type { CliContext } from '../cli-context.ts';
import { CliError, exitCodeOfTurn, exitCodes, type ExitCode } from '../exit-codes.ts';
import { FleetRefusal, FleetUnreachable, type FleetClient } from '../fleet-client.ts';
import { printable } from '../output.ts';
import { readPrompt } from '../prompt-source.ts';
import { readAnswer } from '../read-answer.ts';
import { clientOfRunningFleet } from '../running-fleet.ts';
import type { SettingFlags } from '../setting-options.ts';
import { factLines, textTable } from '../table.ts';
import { parseTimeout, readOutputSchema } from './exec.ts';

export type JobCreateOptions = {
  readonly session?: string;
  readonly model?: string;
  readonly effort?: string;
  readonly outputSchema?: string;
  readonly timeout?: string;
  readonly attempts?: string;
  readonly at?: string;
  readonly webhook?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
};

export type JobListOptions = {
  readonly status?: string;
  readonly schedule?: string;
  readonly limit?: string;
  readonly after?: string;
  readonly json?: boolean;
};

const pollMs = 2_000;
/** A fleet that restarts is back by then. */
const patienceMs = 60_000;
const shownPromptCharacters = 60;

export async function runJobsCreate(
  context: CliContext,
  promptArgument: string | undefined,
  options: JobCreateOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const { at, attempts, effort, model, outputSchema, session, timeout, webhook } = options;
  if (attempts !== undefined && !/^\d{1,3}$/.test(attempts))
    throw new CliError(exitCodes.usage, `--attempts: got ${JSON.stringify(attempts)}; allowed: 1 to 10`);
  const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
  const schema = outputSchema === undefined ? undefined : await readOutputSchema(outputSchema);
  const prompt = await readPrompt(context.stdin, promptArgument);
  const client = await clientOfRunningFleet(context, given);
  const answer = await client.call('POST', '/api/v1/jobs', {
    prompt,
    ...(session === undefined ? {} : { session_id: session }),
    ...(model === undefined ? {} : { model }),
    ...(effort === undefined ? {} : { effort }),
    ...(schema === undefined ? {} : { output_schema: schema }),
    ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
    ...(attempts === undefined ? {} : { retry: { max_attempts: Number(attempts) } }),
    ...(at === undefined ? {} : { run_at: at }),
    ...(webhook === undefined ? {} : { webhook: { url: webhook } }),
  });
  const job = readAnswer(madeJobSchema, answer, client);
  if (job.webhook !== null && options.json !== true)
    await context.stderr.write(`what ${job.webhook.url} is told is signed with ${job.webhook.secret}\n`);
  if (options.wait !== true) {
    await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `${job.id} ${job.status}\n`);
    return exitCodes.completed;
  }
  await context.stderr.write(`job ${job.id} is accepted\n`);
  const ended = await waitForEnd(context, client, job.id);
  if (ended === null) return exitCodes.cancelled;
  if (options.json === true) await context.stdout.write(`${JSON.stringify(ended.answer)}\n`);
  else await printAnswer(context, ended.job);
  return exitCodeOfJob(ended.job);
}

export async function runJobsList(
  context: CliContext,
  options: JobListOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const query = new URLSearchParams({
    ...(options.status === undefined ? {} : { status: options.status }),
    ...(options.schedule === undefined ? {} : { schedule_id: options.schedule }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.after === undefined ? {} : { after: options.after }),
  });
  const answer = await client.call('GET', `/api/v1/jobs?${query.toString()}`);
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify(answer)}\n`);
    return exitCodes.completed;
  }
  const page = readAnswer(listSchema(jobSchema), answer, client);
  const rows = page.data.map((job) => [
    job.id,
    statusOf(job),
    `${job.attempt_count} of ${Math.max(job.attempt_count, job.retry.max_attempts)}`,
    job.created_at,
    job.ended_at ?? '-',
    job.prompt.slice(0, shownPromptCharacters),
  ]);
  await context.stdout.write(textTable(['ID', 'STATUS', 'ATTEMPTS', 'CREATED', 'ENDED', 'PROMPT'], rows));
  if (page.has_more) await context.stderr.write(`there are more: --after ${page.last_id ?? ''}\n`);
  return exitCodes.completed;
}

export async function runJobsShow(
  context: CliContext,
  id: string,
  options: { readonly wait?: boolean; readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const looked = options.wait === true ? await waitForEnd(context, client, id) : await lookAt(client, id);
  if (looked === null) return exitCodes.cancelled;
  const { answer, job } = looked;
  await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : factLines(factsOf(job)));
  return options.wait === true ? exitCodeOfJob(job) : exitCodes.completed;
}

export async function runJobsMove(
  context: CliContext,
  ids: readonly string[],
  what: 'cancel' | 'retry',
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  for (const id of ids) {
    const answer = await client.call('POST', `${jobPath(id)}/${what}`);
    const job = readAnswer(jobSchema, answer, client);
    await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `${job.id} ${statusOf(job)}\n`);
  }
  return exitCodes.completed;
}

export async function runJobsRemove(
  context: CliContext,
  ids: readonly string[],
  options: { readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  for (const id of ids) {
    const answer = await client.call('DELETE', jobPath(id));
    const erased = readAnswer(deletedJobSchema, answer, client);
    await context.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : `erased ${erased.id}\n`);
  }
  return exitCodes.completed;
}

function jobPath(id: string): string {
  return `/api/v1/jobs/${encodeURIComponent(id)}`;
}

type Looked = { readonly answer: unknown; readonly job: JobResource };

async function lookAt(client: FleetClient, id: string): Promise<Looked> {
  const answer = await client.call('GET', jobPath(id));
  return { answer, job: readAnswer(jobSchema, answer, client) };
}

/** null when the person had enough of it: the job goes on. A fleet that is away for a while is asked again. */
async function waitForEnd(context: CliContext, client: FleetClient, id: string): Promise<Looked | null> {
  const { clock, stderr } = context;
  const interrupted = Promise.withResolvers<'interrupted'>();
  const stopListening = context.onInterrupt(() => interrupted.resolve('interrupted'));
  let answeredAtMs = clock.monotonicMs();
  try {
    for (;;) {
      const looking = lookAt(client, id).catch((error: unknown) => {
        if (!isPassing(error) || clock.monotonicMs() - answeredAtMs >= patienceMs) throw error;
        return null;
      });
      const looked = await Promise.race([looking, interrupted.promise]);
      if (looked !== null && looked !== 'interrupted') {
        answeredAtMs = clock.monotonicMs();
        if (looked.job.ended_at !== null) return looked;
      }
      const pause = Promise.withResolvers<'over'>();
      const cancelPause = clock.after(pollMs, () => pause.resolve('over'));
      const next = looked === 'interrupted' ? looked : await Promise.race([pause.promise, interrupted.promise]);
      cancelPause();
      if (next === 'interrupted') {
        await stderr.write(`job ${id} goes on; codex-fleet jobs cancel ${id} would end it\n`);
        return null;
      }
    }
  } finally {
    stopListening();
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof FleetUnreachable || (error instanceof FleetRefusal && error.isPassing);
}

async function printAnswer({ stderr, stdout }: CliContext, { error, result, status }: JobResource): Promise<void> {
  const answer = result?.stdout ?? '';
  if (answer !== '') {
    const text = stdout.isTerminal ? printable(answer) : answer;
    await stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }
  if (status === 'completed') return;
  await stderr.write(`codex-fleet: job ${status}${error === null ? '' : `: ${printable(error.message)}`}\n`);
}

function exitCodeOfJob({ result, status }: JobResource): ExitCode {
  if (status === 'completed') return exitCodes.completed;
  if (status === 'cancelled') return exitCodes.cancelled;
  return exitCodeOfTurn(result?.exit_code ?? exitCodes.turnFailed);
}

function statusOf({ cancelling, status }: JobResource): string {
  return cancelling ? 'cancelling' : status;
}

function factsOf(job: JobResource): [name: string, value: string][] {
  const { error, result, webhook } = job;
  return [
    ['id', job.id],
    ['status', statusOf(job)],
    ['session', job.session_id ?? '-'],
    ['turn', job.turn_id ?? '-'],
    ['source', job.schedule_id === null ? job.source : `${job.source} ${job.schedule_id}`],
    ['attempts', `${job.attempt_count}, at most ${job.retry.max_attempts} in a row`],
    ...job.attempts.map((attempt): [string, string] => [
      'attempt',
      `${attempt.started_at} ${attempt.status ?? 'running'}${attempt.error === null ? '' : `: ${attempt.error.message}`}`,
    ]),
    ['next attempt', job.next_attempt_at ?? '-'],
    ['webhook', webhook?.url ?? '-'],
    ['created', `${job.created_at} by ${job.created_by}`],
    ['ended', job.ended_at ?? '-'],
    ['request id', job.request_id ?? '-'],
    ['error', error === null ? '-' : `${error.code}: ${error.message}`],
    ['prompt', job.prompt],
    ['answer', result?.stdout ?? '-'],
    ...Object.entries(job.metadata).map(([key, value]): [string, string] => [`metadata ${key}`, value]),
  ];
}
