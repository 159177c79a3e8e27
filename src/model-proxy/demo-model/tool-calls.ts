// How the demo model's steps become tool calls that the real Codex carries out, and how their
// results read in an answer.

import type { Conversation, ToolResult } from './conversation.ts';
import type { Step } from './script.ts';

export type ToolStep = Extract<Step, { verb: 'run' | 'ask' | 'write' }>;
export type ToolCall = { readonly name: string; readonly args: Readonly<Record<string, unknown>> };

const commandYieldMs = 30_000;
const pollYieldMs = 300_000;
const quotedOutputChars = 4000;

export function isToolStep(step: Step | undefined): step is ToolStep {
  return step?.verb === 'run' || step?.verb === 'ask' || step?.verb === 'write';
}

export function toolCallFor(step: ToolStep, conversation: Conversation): ToolCall {
  const name = conversation.commandTool;
  const argument = name === 'exec_command' ? 'cmd' : 'command';
  const patience = name === 'exec_command' ? { yield_time_ms: commandYieldMs } : {};
  switch (step.verb) {
    case 'run':
      return { name, args: { [argument]: step.command, ...patience } };
    case 'ask':
      return {
        name,
        args: {
          [argument]: step.command,
          ...patience,
          sandbox_permissions: 'require_escalated',
          justification: `The demo script asks to run: ${step.command.slice(0, 200)}`,
        },
      };
    case 'write':
      return { name, args: { [argument]: patchCommand(step.path, step.content) } };
  }
}

/** A command that outlived its first answer is waited for, as a real model does; null when none is running. */
export function pollCallFor(result: ToolResult | undefined): ToolCall | null {
  const session = /Process running with session ID (\d+)/.exec(headOf(result?.output ?? ''));
  if (session === null) return null;
  return { name: 'write_stdin', args: { session_id: Number(session[1]), chars: '', yield_time_ms: pollYieldMs } };
}

/** The results of a script's last step: what its answer ends with. */
export function describeResults(step: ToolStep, results: readonly ToolResult[]): string {
  const outputs = results.map((result) => result.output ?? '');
  const whole = outputs.join('\n');
  if (step.verb === 'write' && whole.includes('Success.')) return `Wrote ${step.path}.`;

  const exit = /Process exited with code (\d+)/.exec(headOf(outputs.at(-1) ?? ''));
  const what =
    step.verb === 'write'
      ? `Could not write ${step.path}`
      : `${step.verb === 'run' ? 'Ran' : 'Asked to run'} \`${step.command.slice(0, 200)}\``;
  const how = exit === null ? '' : ` (exit code ${exit[1]})`;
  const said = exit === null ? whole : outputs.map(bodyOf).join('');
  return said.trim() === '' ? `${what}${how}, no output.` : `${what}${how}:\n${said.slice(0, quotedOutputChars)}`;
}

/**
 * Codex recognises this form and applies the patch itself: it becomes a file_change, and no shell sees
 * the content. Every line of it begins with `+`, so that none can end the heredoc or the patch.
 */
function patchCommand(path: string, content: string): string {
  const lines = content === '' ? [] : content.split('\n');
  const patch = ['*** Begin Patch', `*** Add File: ${path}`, ...lines.map((line) => `+${line}`), '*** End Patch'];
  return `apply_patch <<'PATCH'\n${patch.join('\n')}\nPATCH\n`;
}

function headOf(output: string): string {
  const at = output.indexOf('\nOutput:\n');
  return at < 0 ? output : output.slice(0, at);
}

function bodyOf(output: string): string {
  const at = output.indexOf('\nOutput:\n');
  return at < 0 ? output : output.slice(at + '\nOutput:\n'.length);
}
