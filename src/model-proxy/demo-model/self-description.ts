// What the demo model says of itself, of the conversation that it was shown, and of mistakes.

import type { Conversation } from './conversation.ts';
import { verbForms } from './script.ts';

const quotedChars = 80;
const instructionChars = 400;

export function describeItself(conversation: Conversation): string {
  const words = conversation.prompt.split(/\s+/).filter((word) => word !== '');
  const start = words.slice(0, 12).join(' ').slice(0, 200);
  const earlier = conversation.earlierPrompts.length;
  return [
    'I am the demo model: an offline stand-in without intelligence, so that Codex Fleet can be tried without a key.',
    'Configure a real model for real answers.',
    '',
    `You wrote: "${start}${words.length > 12 ? ' …' : ''}"`,
    `Earlier prompts that I was shown: ${earlier}`,
    `AGENTS.md instructions that I was shown: ${conversation.agentsInstructions === null ? 'no' : 'yes'}`,
    '',
    'I drive the real Codex with a script in the prompt, one step a line:',
    ...formLines(),
  ].join('\n');
}

export function describeMistake(line: number, problem: string): string {
  return [`The script has a mistake in line ${line}: ${problem}.`, '', 'What I can do:', ...formLines()].join('\n');
}

export function recallPrompts(conversation: Conversation): string {
  if (conversation.earlierPrompts.length === 0) return 'There are no earlier prompts.';
  return conversation.earlierPrompts
    .map((prompt, index) => `${index + 1}. ${prompt.replaceAll('\n', ' ').slice(0, quotedChars)}`)
    .join('\n');
}

/** From the marker on, wherever it stands; without one, what AGENTS.md says. */
export function repeatInstructions(conversation: Conversation, marker: string | null): string {
  if (marker === null) {
    return conversation.agentsInstructions?.slice(0, instructionChars) ?? 'There are no AGENTS.md instructions.';
  }
  for (const text of [conversation.agentsInstructions ?? '', ...conversation.developerTexts]) {
    const at = text.indexOf(marker);
    if (at >= 0) return text.slice(at, at + instructionChars);
  }
  return `No instructions hold "${marker.slice(0, quotedChars)}".`;
}

function formLines(): string[] {
  return Object.values(verbForms).map((form) => `  ${form}`);
}
