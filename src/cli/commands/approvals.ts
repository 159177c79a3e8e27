// `codex-fleet approvals`: what waits for a person, and the answers.

import { approvalSchema, type ApprovalResource } from '../../api/approvals.ts';
import { listSchema } from '../../api/list.ts';
import type { ApprovalDecision } from '../../core/approval.ts';
import type { CliContext } from '../cli-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { readAnswer } from '../read-answer.ts';
import { clientOfRunningFleet } from '../running-fleet.ts';
import type { SettingFlags } from '../setting-options.ts';
import { factLines } from '../table.ts';

export type ApprovalListOptions = {
  readonly session?: string;
  readonly after?: string;
  readonly all?: boolean;
  readonly json?: boolean;
};

/** What is shown of one change; the whole of it is in the answer as JSON. */
const shownDiffChars = 4_000;

export async function runApprovalsList(
  context: CliContext,
  options: ApprovalListOptions,
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const query = new URLSearchParams({
    order: options.all === true ? 'desc' : 'asc',
    ...(options.all === true ? {} : { status: 'pending' }),
    ...(options.session === undefined ? {} : { session_id: options.session }),
    ...(options.after === undefined ? {} : { after: options.after }),
  });
  const answer = await client.call('GET', `/api/v1/approvals?${query.toString()}`);
  if (options.json === true) {
    await context.stdout.write(`${JSON.stringify(answer)}\n`);
    return exitCodes.completed;
  }
  const page = readAnswer(listSchema(approvalSchema), answer, client);
  // Each in full: who answers must see what it is.
  await context.stdout.write(page.data.map((approval) => factLines(factsOf(approval))).join('\n'));
  if (page.data.length === 0) await context.stderr.write('nothing waits for an answer\n');
  if (page.has_more) await context.stderr.write(`there are more: --after ${page.last_id ?? ''}\n`);
  return exitCodes.completed;
}

export async function runApprovalDecide(
  context: CliContext,
  decision: Exclude<ApprovalDecision, 'accept_for_session'>,
  id: string,
  options: { readonly forSession?: boolean; readonly json?: boolean },
  given: SettingFlags,
): Promise<ExitCode> {
  const client = await clientOfRunningFleet(context, given);
  const path = `/api/v1/approvals/${encodeURIComponent(id)}/decision`;
  const body = { decision: options.forSession === true ? 'accept_for_session' : decision };
  const answer = await client.call('POST', path, body);
  const approval = readAnswer(approvalSchema, answer, client);
  await context.stdout.write(
    options.json === true ? `${JSON.stringify(answer)}\n` : `${approval.id} ${approval.decision ?? ''}\n`,
  );
  return exitCodes.completed;
}

function factsOf(approval: ApprovalResource): [name: string, value: string][] {
  const { command, cwd, decided_by, decision, details, reason, status } = approval;
  const { changes, permissions, truncated } = details;
  return [
    ['id', approval.id],
    ['session', approval.session_id],
    ['asks for', approval.kind],
    ...(command === null ? [] : [['command', command] as [string, string]]),
    ...(cwd === null ? [] : [['in', cwd] as [string, string]]),
    ...(Array.isArray(changes) ? changes.map((change) => ['change', changeText(change)] as [string, string]) : []),
    ...(permissions === undefined ? [] : [['permissions', JSON.stringify(permissions)] as [string, string]]),
    ...(truncated === true ? [['attention', 'this is not all of it'] as [string, string]] : []),
    ['reason', reason ?? '-'],
    ['status', decision === null ? status : `${status}: ${decision} by ${decided_by ?? '-'}`],
    ['expires', approval.expires_at],
  ];
}

function changeText(change: unknown): string {
  const { diff = '', kind = '?', path = '?' } = change as { diff?: string; kind?: string; path?: string };
  return `${kind} ${path}\n${diff.slice(0, shownDiffChars)}`;
}
