// Plays a script's steps into one answer, up to the next tool call or the end. Paced by a clock,
// produced only as fast as it is read, ended by the caller's signal.

import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import type { AttemptCounts } from './attempt-counts.ts';
import type { Conversation } from './conversation.ts';
import { callIdFor } from './conversation.ts';
import { ResponseEvents, tokensOf } from './response-events.ts';
import type { Step } from './script.ts';
import { recallPrompts, repeatInstructions } from './self-description.ts';
import { describeResults, isToolStep, pollCallFor, toolCallFor } from './tool-calls.ts';

export type Stage = {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly attempts: AttemptCounts;
};

/** Thrown to cut an answer off in its middle, as a lost connection does. */
export class BrokenOff extends Error {
  constructor() {
    super('the demo model broke off, as its script says');
    this.name = 'BrokenOff';
  }
}

const batchChars = 16 * 1024;
const deltaPattern = /[\s\S]{1,200}/gu;

export async function* playText(conversation: Conversation, text: string): AsyncGenerator<string> {
  const events = newEvents(conversation);
  yield events.created() + message(events, text) + events.completed();
}

export async function* playSteps(
  steps: readonly Step[],
  from: number,
  conversation: Conversation,
  stage: Stage,
): AsyncGenerator<string> {
  const events = newEvents(conversation);
  yield events.created();

  const poll = pollCallFor(conversation.toolResults.at(-1));
  if (poll !== null) {
    const step = conversation.toolResults.at(-1)?.step ?? 0;
    yield events.functionCall(newCallId(step), poll.name, poll.args) + events.completed();
    return;
  }

  for (let index = from; index < steps.length; index += 1) {
    const step = steps[index];
    if (step === undefined) break;
    if (isToolStep(step)) {
      const call = toolCallFor(step, conversation);
      yield events.functionCall(newCallId(index), call.name, call.args) + events.completed();
      return;
    }
    if (step.verb === 'fail' && stage.attempts.take(conversation.turnKey, index, step.times)) {
      yield events.failed(step.failure.code, 'The demo model failed, as its script says.');
      return;
    }
    yield* playStep(step, index, events, conversation, stage);
  }

  const closing = closingText(steps, conversation);
  yield (closing === null ? '' : message(events, closing)) + events.completed();
}

async function* playStep(
  step: Exclude<Step, { verb: 'run' | 'ask' | 'write' }>,
  index: number,
  events: ResponseEvents,
  conversation: Conversation,
  stage: Stage,
): AsyncGenerator<string> {
  switch (step.verb) {
    case 'say':
      yield message(events, step.text);
      return;
    case 'think':
      yield events.reasoning(step.text);
      return;
    case 'recall':
      yield message(events, recallPrompts(conversation));
      return;
    case 'instructions':
      yield message(events, repeatInstructions(conversation, step.marker));
      return;
    case 'wait':
    case 'stall':
      await pause(step.durationMs, stage);
      return;
    case 'stream':
      yield events.openMessage();
      yield* words(step.words, step.intervalMs, events, stage);
      yield events.closeMessage();
      return;
    case 'break':
      if (!stage.attempts.take(conversation.turnKey, index, step.times)) return;
      yield events.openMessage();
      yield* words(step.afterWords, 0, events, stage);
      throw new BrokenOff();
    case 'fail':
      return;
  }
}

async function* words(count: number, intervalMs: number, events: ResponseEvents, stage: Stage): AsyncGenerator<string> {
  let batch = '';
  for (let number = 1; number <= count; number += 1) {
    batch += events.delta(number === 1 ? 'word1' : ` word${number}`);
    if (intervalMs === 0 && batch.length < batchChars) continue;
    yield batch;
    batch = '';
    if (intervalMs > 0) await pause(intervalMs, stage);
    stage.signal.throwIfAborted();
  }
  if (batch !== '') yield batch;
}

/** A script that ends with something other than a text gets one, so that the turn has a final message. */
function closingText(steps: readonly Step[], conversation: Conversation): string | null {
  const last = steps.at(-1);
  if (last === undefined) return 'Done.';
  if (isToolStep(last)) {
    const step = steps.length - 1;
    return describeResults(
      last,
      conversation.toolResults.filter((result) => result.step === step),
    );
  }
  return ['say', 'stream', 'recall', 'instructions'].includes(last.verb) ? null : 'Done.';
}

/** null: until the signal. Rejects with its reason. */
export function pause(durationMs: number | null, stage: Stage): Promise<void> {
  const { signal, clock } = stage;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const cancel = durationMs === null ? (): void => {} : clock.after(durationMs, done);
    signal.addEventListener('abort', aborted, { once: true });
    function done(): void {
      signal.removeEventListener('abort', aborted);
      resolve();
    }
    function aborted(): void {
      cancel();
      reject(abortReason(signal));
    }
  });
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}

function message(events: ResponseEvents, text: string): string {
  const deltas = text.match(deltaPattern) ?? [];
  return events.openMessage() + deltas.map((delta) => events.delta(delta)).join('') + events.closeMessage();
}

function newEvents(conversation: Conversation): ResponseEvents {
  return new ResponseEvents(conversation.model, tokensOf(conversation.inputChars));
}

function newCallId(step: number): string {
  return callIdFor(step, randomBytes(8).toString('hex'));
}
