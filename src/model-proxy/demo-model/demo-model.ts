// The demo model: an honest offline answerer of Responses calls. It has no intelligence; it drives the
// real Codex with the script that the prompt holds, faults included, and otherwise says what it is.

import type { Clock } from '../../core/clock.ts';
import type { Upstream, UpstreamRequest, UpstreamResponse } from '../upstream.ts';
import { AttemptCounts } from './attempt-counts.ts';
import { nextStep, readConversation } from './conversation.ts';
import { parsePrompt } from './script.ts';
import type { DemoFailure, Step } from './script.ts';
import { pause, playSteps, playText } from './script-player.ts';
import type { Stage } from './script-player.ts';
import { describeItself, describeMistake } from './self-description.ts';

export const demoModelId = 'demo';

export class DemoModel implements Upstream {
  readonly #clock: Clock;
  readonly #attempts = new AttemptCounts();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async send(request: Pick<UpstreamRequest, 'parsed' | 'signal'>): Promise<UpstreamResponse> {
    const conversation = readConversation(request.parsed);
    const stage: Stage = { clock: this.#clock, signal: request.signal, attempts: this.#attempts };
    const prompt = parsePrompt(conversation.prompt);
    switch (prompt.kind) {
      case 'chat':
        return streamed(playText(conversation, describeItself(conversation)));
      case 'mistake':
        return streamed(playText(conversation, describeMistake(prompt.line, prompt.problem)));
      case 'script': {
        const opening = await this.#openWith(prompt.steps, nextStep(conversation), conversation.turnKey, stage);
        if (typeof opening !== 'number') return failed(opening);
        return streamed(playSteps(prompt.steps, opening, conversation, stage));
      }
    }
  }

  listModels(): Promise<readonly string[]> {
    return Promise.resolve([demoModelId]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Steps that come before any header: answers the failure to send, or the step to begin the answer with. */
  async #openWith(
    steps: readonly Step[],
    from: number,
    turnKey: string,
    stage: Stage,
  ): Promise<number | (DemoFailure & { kind: 'status' })> {
    for (let index = from; ; index += 1) {
      const step = steps[index];
      if (step?.verb === 'stall' && step.before === 'headers') {
        await pause(step.durationMs, stage);
      } else if (step?.verb === 'fail' && step.failure.kind === 'status') {
        if (stage.attempts.take(turnKey, index, step.times)) return step.failure;
      } else {
        return index;
      }
    }
  }
}

function streamed(events: AsyncGenerator<string>): UpstreamResponse {
  return {
    status: 200,
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
    body: encoded(events),
  };
}

function failed(failure: DemoFailure & { kind: 'status' }): UpstreamResponse {
  const error = {
    message: `The demo model failed with ${failure.status}, as its script says.`,
    type: failure.status >= 500 ? 'server_error' : 'invalid_request_error',
    code: failure.code,
    param: null,
  };
  async function* body(): AsyncGenerator<string> {
    yield JSON.stringify({ error });
  }
  return { status: failure.status, headers: { 'content-type': 'application/json' }, body: encoded(body()) };
}

async function* encoded(texts: AsyncGenerator<string>): AsyncGenerator<Uint8Array> {
  for await (const text of texts) if (text !== '') yield Buffer.from(text, 'utf8');
}
