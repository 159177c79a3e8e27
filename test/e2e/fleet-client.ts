// Speaks to a fleet from outside, over HTTP and server-sent events, with nothing of the product's own
// code in between: what passes here passes for any client.

import assert from 'node:assert/strict';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { EventOnWire } from '../../src/api/events.ts';
import type { ExecResponse } from '../../src/api/exec.ts';
import type { Problem } from '../../src/api/problem.ts';
import type { SessionResource } from '../../src/api/sessions.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { eventually } from './eventually.ts';
import { WsClient } from './ws-client.ts';

export type Answer<T = unknown> = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: T;
  readonly elapsedMs: number;
};

export type SseMessage = {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: EventOnWire;
};

export type SseOptions = {
  /** A body makes it a POST. */
  readonly body?: unknown;
  readonly lastEventId?: string;
};

const requestTimeoutMs = 60_000;

export class FleetClient {
  readonly url: string;
  readonly token: string;

  constructor(url: string, token: string) {
    this.url = url;
    this.token = token;
  }

  async request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer<T>> {
    const startedMs = performance.now();
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestTimeoutMs),
    });
    const text = await response.text();
    const elapsedMs = performance.now() - startedMs;
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? JSON.parse(text) : null) as T,
      elapsedMs,
    };
  }

  async exec(
    body: Readonly<Record<string, unknown>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer<ExecResponse>> {
    return await this.request<ExecResponse>('POST', '/api/v1/exec', body, headers);
  }

  /** An exec that is expected to complete; the answer's body. */
  async completed(prompt: string, sessionId?: string): Promise<ExecResponse> {
    const { status, body, text } = await this.exec({
      prompt,
      ...(sessionId === undefined ? {} : { session_id: sessionId }),
    });
    assert.equal(status, 200, text);
    assert.equal(body.status, 'completed', text);
    return body;
  }

  async problem(method: string, path: string, body?: unknown): Promise<Problem & { readonly status: number }> {
    const answer = await this.request<Problem>(method, path, body);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
    return answer.body;
  }

  async session(id: string): Promise<SessionResource> {
    return (await this.request<SessionResource>('GET', `/api/v1/sessions/${id}`)).body;
  }

  async turn(sessionId: string, turnId: string): Promise<TurnResource> {
    return (await this.request<TurnResource>('GET', `/api/v1/sessions/${sessionId}/turns/${turnId}`)).body;
  }

  async startTurn(prompt: string, sessionId: string): Promise<TurnResource> {
    const { status, body, text } = await this.request<TurnResource>('POST', `/api/v1/sessions/${sessionId}/turns`, {
      prompt,
    });
    assert.equal(status, 202, text);
    return body;
  }

  async cancel(sessionId: string, turnId: string): Promise<Answer<TurnResource>> {
    return await this.request<TurnResource>('POST', `/api/v1/sessions/${sessionId}/turns/${turnId}/cancel`);
  }

  async turnEnded(sessionId: string, turnId: string, withinMs = 20_000): Promise<TurnResource> {
    return await eventually(`turn ${turnId} ends`, withinMs, async () => {
      const turn = await this.turn(sessionId, turnId);
      return turn.ended_at === null ? null : turn;
    });
  }

  /** All events that the log holds of a session, read page by page. */
  async pages(sessionId: string, query = ''): Promise<EventOnWire[]> {
    const events: EventOnWire[] = [];
    for (let after = ''; ; ) {
      const path = `/api/v1/sessions/${sessionId}/events?limit=37${query}${after === '' ? '' : `&after=${after}`}`;
      const { status, body, text } = await this.request<{
        data: EventOnWire[];
        last_id: string | null;
        has_more: boolean;
      }>('GET', path, undefined, { accept: 'application/json' });
      assert.equal(status, 200, text);
      events.push(...body.data);
      if (!body.has_more || body.last_id === null) return events;
      after = body.last_id;
    }
  }

  /** The messages of a stream as they come; leaving the loop cuts the connection. */
  async *sse(path: string, options: SseOptions = {}): AsyncGenerator<SseMessage> {
    const cut = new AbortController();
    try {
      const response = await fetch(this.url + path, {
        method: options.body === undefined ? 'GET' : 'POST',
        headers: {
          authorization: `Bearer ${this.token}`,
          accept: 'text/event-stream',
          ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
        },
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
        signal: AbortSignal.any([cut.signal, AbortSignal.timeout(requestTimeoutMs)]),
      });
      if (response.status === 204) return;
      assert.equal(response.status, 200, response.status === 200 ? '' : await response.text());
      assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
      assert.ok(response.body !== null);
      const messages = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      for await (const message of messages) {
        yield { id: message.id, event: message.event, data: JSON.parse(message.data) as EventOnWire };
      }
    } finally {
      cut.abort();
    }
  }

  /** The events of a streamed exec, from the first to the end of the stream. */
  async streamed(body: Readonly<Record<string, unknown>>): Promise<EventOnWire[]> {
    const events: EventOnWire[] = [];
    for await (const { data } of this.sse('/api/v1/exec', { body: { ...body, stream: true } })) events.push(data);
    return events;
  }

  /** The events of a turn from the cursor on, up to its terminal event. */
  async followTurn(sessionId: string, turnId: string, lastEventId?: string): Promise<EventOnWire[]> {
    const events: EventOnWire[] = [];
    const options = lastEventId === undefined ? {} : { lastEventId };
    for await (const { data } of this.sse(`/api/v1/sessions/${sessionId}/events?turn_id=${turnId}`, options)) {
      events.push(data);
      if (data.turn_id === turnId && isTerminalEventType(data.type)) break;
    }
    return events;
  }

  async ws(): Promise<WsClient> {
    return await WsClient.open(this.url, { headers: { authorization: `Bearer ${this.token}` } });
  }
}
