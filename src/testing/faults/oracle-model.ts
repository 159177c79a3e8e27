// A model provider in the test's own process that outlives every fleet: it remembers what the model was
// shown, which no killed fleet can forget, and spoils its answers on demand. What it says is the demo model's.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readConversation } from '../../model-proxy/demo-model/conversation.ts';
import { DemoModel } from '../../model-proxy/demo-model/demo-model.ts';
import { SystemClock } from '../../observability/system-clock.ts';

export type OracleCall = {
  /** The newest message of the user. */
  readonly prompt: string;
  /** Codex's own id of the turn: the same for all calls of one turn, another for each turn. */
  readonly codexTurn: string;
  readonly earlierPrompts: readonly string[];
  readonly earlierSha256: string;
};

/**
 * cut: the connection breaks off behind so many deltas; eof: the answer ends there in good order, without
 * its last event; stall: nothing more comes; no_headers: nothing comes at all.
 */
export type AnswerFault =
  | { readonly kind: 'cut' | 'eof' | 'stall'; readonly afterDeltas: number }
  | { readonly kind: 'no_headers' };

export type OracleOptions = {
  /** Asked for each call. Default: none. */
  readonly fault?: (call: OracleCall) => AnswerFault | null;
};

const deltaEvent = 'event: response.output_text.delta\n';

export class OracleModel {
  readonly calls: OracleCall[] = [];
  readonly #server: Server;
  readonly #model = new DemoModel(new SystemClock());
  readonly #fault: (call: OracleCall) => AnswerFault | null;
  #spoilt = 0;

  private constructor(options: OracleOptions) {
    this.#fault = options.fault ?? (() => null);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: OracleOptions = {}): Promise<OracleModel> {
    const oracle = new OracleModel(options);
    await new Promise<void>((resolve, reject) => {
      oracle.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return oracle;
  }

  /** How a fleet is told to use it. */
  get flags(): readonly string[] {
    const { port } = this.#server.address() as AddressInfo;
    return ['--model-provider', 'responses', '--model', 'demo', '--base-url', `http://127.0.0.1:${port}/v1`];
  }

  /** Answers that were really cut, stalled or withheld: a fault behind the end of an answer spoils nothing. */
  get spoiltAnswers(): number {
    return this.#spoilt;
  }

  callsOf(prompt: string): OracleCall[] {
    return this.calls.filter((call) => call.prompt === prompt);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    if (request.method !== 'POST' || request.url !== '/v1/responses') {
      response.writeHead(request.method === 'GET' ? 200 : 404, { 'content-type': 'application/json' });
      response.end('{"object":"list","data":[{"id":"demo","object":"model"}]}');
      return;
    }
    const parsed = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Readonly<Record<string, unknown>>;
    const call = callOf(parsed);
    this.calls.push(call);
    const fault = this.#fault(call);
    const gone = new AbortController();
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    void closed.then(() => gone.abort(new Error('the caller left')));
    if (fault?.kind === 'no_headers') {
      this.#spoilt += 1;
      await closed;
      return;
    }
    const answer = await this.#model.send({ parsed, signal: gone.signal });
    response.writeHead(answer.status, { ...answer.headers });
    response.flushHeaders();
    let deltas = 0;
    for await (const event of eventsOf(answer.body)) {
      if (fault !== null && deltas >= fault.afterDeltas) {
        this.#spoilt += 1;
        if (fault.kind === 'stall') await closed;
        // What was written is to arrive: destroy() alone would drop it.
        else if (fault.kind === 'cut') response.socket?.destroySoon();
        else response.end();
        return;
      }
      if (!response.write(event))
        await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed]);
      if (event.startsWith(deltaEvent)) deltas += 1;
    }
    response.end();
  }
}

function callOf(parsed: Readonly<Record<string, unknown>>): OracleCall {
  const { prompt, earlierPrompts, turnKey } = readConversation(parsed);
  const earlierSha256 = createHash('sha256').update(JSON.stringify(earlierPrompts)).digest('hex');
  return { prompt, codexTurn: turnKey, earlierPrompts, earlierSha256 };
}

/** One server-sent event at a time, however the bytes were batched. */
async function* eventsOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    const whole = rest.split('\n\n');
    rest = whole.pop() ?? '';
    for (const event of whole) yield `${event}\n\n`;
  }
  if (rest !== '') yield rest;
}
