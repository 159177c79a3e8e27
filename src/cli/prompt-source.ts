// Where exec's prompt comes from: the argument, or stdin when there is none or it is `-`.

import { maxPromptCodePoints } from '../api/limits.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** The longest prompt in its longest encoding. */
const maxPromptBytes = maxPromptCodePoints * 4;

export async function readPrompt(
  stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean },
  argument: string | undefined,
): Promise<string> {
  const fromStdin = argument === undefined || argument === '-';
  if (argument === undefined && stdin.isTTY === true) {
    throw new CliError(exitCodes.usage, 'no prompt: give it as an argument, or on stdin');
  }
  const prompt = fromStdin ? await readText(stdin) : argument;
  if (prompt.trim() === '') throw new CliError(exitCodes.usage, 'the prompt is empty');
  return prompt;
}

async function readText(stdin: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    size += chunk.byteLength;
    if (size > maxPromptBytes) {
      throw new CliError(exitCodes.usage, `the prompt on stdin is longer than ${maxPromptCodePoints} characters`);
    }
    chunks.push(chunk);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new CliError(exitCodes.usage, 'the prompt on stdin is not valid UTF-8', { cause: error });
  }
}
