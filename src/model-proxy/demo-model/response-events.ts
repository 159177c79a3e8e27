// Writes one Responses answer as server-sent events, in the order that OpenAI's API uses.
// Knows the wire; what is said is decided elsewhere.

import { randomUUID } from 'node:crypto';

type OutputItem = Readonly<Record<string, unknown>>;

export class ResponseEvents {
  readonly #id = `resp_demo_${randomUUID()}`;
  readonly #model: string;
  readonly #inputTokens: number;
  readonly #output: OutputItem[] = [];
  #sequence = 0;
  #outputChars = 0;
  #reasoningChars = 0;
  #message: { readonly id: string; text: string } | null = null;

  constructor(model: string, inputTokens: number) {
    this.#model = model;
    this.#inputTokens = inputTokens;
  }

  created(): string {
    return this.#event('response.created', { response: this.#response('in_progress') });
  }

  openMessage(): string {
    const message = { id: `msg_demo_${randomUUID()}`, text: '' };
    this.#message = message;
    const place = { item_id: message.id, output_index: this.#output.length, content_index: 0 };
    return (
      this.#event('response.output_item.added', {
        output_index: this.#output.length,
        item: { type: 'message', id: message.id, status: 'in_progress', role: 'assistant', content: [] },
      }) + this.#event('response.content_part.added', { ...place, part: textPart('') })
    );
  }

  delta(text: string): string {
    const message = this.#openMessage();
    message.text += text;
    this.#outputChars += text.length;
    return this.#event('response.output_text.delta', {
      item_id: message.id,
      output_index: this.#output.length,
      content_index: 0,
      delta: text,
    });
  }

  closeMessage(): string {
    const { id, text } = this.#openMessage();
    const place = { item_id: id, output_index: this.#output.length, content_index: 0 };
    this.#message = null;
    return (
      this.#event('response.output_text.done', { ...place, text }) +
      this.#event('response.content_part.done', { ...place, part: textPart(text) }) +
      this.#itemDone({ type: 'message', id, status: 'completed', role: 'assistant', content: [textPart(text)] })
    );
  }

  reasoning(text: string): string {
    const id = `rs_demo_${randomUUID()}`;
    const place = { item_id: id, output_index: this.#output.length, summary_index: 0 };
    const part = { type: 'summary_text', text };
    this.#outputChars += text.length;
    this.#reasoningChars += text.length;
    return (
      this.#event('response.output_item.added', {
        output_index: this.#output.length,
        item: { type: 'reasoning', id, summary: [] },
      }) +
      this.#event('response.reasoning_summary_part.added', { ...place, part: { ...part, text: '' } }) +
      this.#event('response.reasoning_summary_text.delta', { ...place, delta: text }) +
      this.#event('response.reasoning_summary_text.done', { ...place, text }) +
      this.#event('response.reasoning_summary_part.done', { ...place, part }) +
      this.#itemDone({ type: 'reasoning', id, summary: [part], encrypted_content: null })
    );
  }

  functionCall(callId: string, name: string, args: Readonly<Record<string, unknown>>): string {
    const text = JSON.stringify(args);
    const item = { type: 'function_call', id: `fc_demo_${randomUUID()}`, call_id: callId, name };
    const place = { item_id: item.id, output_index: this.#output.length };
    this.#outputChars += text.length;
    return (
      this.#event('response.output_item.added', {
        output_index: this.#output.length,
        item: { ...item, arguments: '', status: 'in_progress' },
      }) +
      this.#event('response.function_call_arguments.delta', { ...place, delta: text }) +
      this.#event('response.function_call_arguments.done', { ...place, arguments: text }) +
      this.#itemDone({ ...item, arguments: text, status: 'completed' })
    );
  }

  completed(): string {
    return this.#event('response.completed', { response: this.#response('completed') });
  }

  failed(code: string, message: string): string {
    const response = { ...this.#response('failed'), error: { code, message } };
    return this.#event('response.failed', { response });
  }

  #itemDone(item: OutputItem): string {
    const index = this.#output.push(item) - 1;
    return this.#event('response.output_item.done', { output_index: index, item });
  }

  #openMessage(): { readonly id: string; text: string } {
    if (this.#message === null) throw new Error('no message is open');
    return this.#message;
  }

  #response(status: 'in_progress' | 'completed' | 'failed'): OutputItem {
    const outputTokens = tokensOf(this.#outputChars);
    return {
      id: this.#id,
      object: 'response',
      created_at: 0,
      status,
      error: null,
      incomplete_details: null,
      model: this.#model,
      output: status === 'in_progress' ? [] : this.#output,
      usage:
        status !== 'completed'
          ? null
          : {
              input_tokens: this.#inputTokens,
              input_tokens_details: { cached_tokens: 0 },
              output_tokens: outputTokens,
              output_tokens_details: { reasoning_tokens: tokensOf(this.#reasoningChars) },
              total_tokens: this.#inputTokens + outputTokens,
            },
    };
  }

  #event(type: string, fields: Readonly<Record<string, unknown>>): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}

/** No tokenizer: four characters are about one token. */
export function tokensOf(chars: number): number {
  return Math.ceil(chars / 4);
}

function textPart(text: string): OutputItem {
  return { type: 'output_text', text, annotations: [] };
}
