// Clients that follow a turn through a network that cuts them, over and over, and come back with the last
// cursor that they hold. Own nothing but what they heard: whether it is the log is the test's to say.

import { request } from 'node:http';
import { createParser } from 'eventsource-parser';
import { WebSocket } from 'ws';
import { isTerminalEventType } from '../../src/core/event.ts';
import type { EventOnWire } from '../../src/api/events.ts';

export type Followed = {
  readonly url: string;
  readonly token: string;
  readonly sessionId: string;
  readonly turnId: string;
};

export type Heard = {
  /** Bodies, in the order in which they came. */
  readonly texts: readonly string[];
  readonly connections: number;
};

/** A connection on which nothing comes for so long is given up: a black hole tells nobody. */
const silenceMs = 1_000;
const longestMs = 90_000;

type Listener = {
  /** The cursor to go on behind; null: from the start. */
  readonly after: string | null;
  /** Takes the event's text. */
  readonly hear: (text: string) => void;
};

/** Until the turn's end was heard. */
async function follow(attempt: (listener: Listener) => Promise<void>): Promise<Heard> {
  const texts: string[] = [];
  let after: string | null = null;
  let isOver = false;
  let connections = 0;
  const hear = (text: string): void => {
    const event = JSON.parse(text) as EventOnWire;
    texts.push(text);
    after = event.cursor;
    isOver = isTerminalEventType(event.type);
  };
  const endMs = performance.now() + longestMs;
  while (!isOver) {
    if (performance.now() > endMs) throw new Error(`the turn's end was not heard in ${connections} connections`);
    connections += 1;
    await attempt({ after, hear });
  }
  return { texts, connections };
}

/** By `Last-Event-ID`, each time on a connection of its own. */
export function followSse({ url, token, sessionId, turnId }: Followed): Promise<Heard> {
  return follow(
    ({ after, hear }) =>
      new Promise((resolve, reject) => {
        const asked = request(`${url}/api/v1/sessions/${sessionId}/events?turn_id=${turnId}`, {
          agent: false,
          timeout: silenceMs,
          headers: {
            authorization: `Bearer ${token}`,
            accept: 'text/event-stream',
            ...(after === null ? {} : { 'last-event-id': after }),
          },
        });
        asked.once('timeout', () => asked.destroy());
        asked.once('error', () => resolve());
        asked.once('close', () => resolve());
        asked.once('response', (response) => {
          if (response.statusCode !== 200) {
            reject(new Error(`the stream was answered ${response.statusCode}`));
            asked.destroy();
            return;
          }
          const parser = createParser({ onEvent: ({ data }) => hear(data) });
          response.setEncoding('utf8');
          response.on('data', (text: string) => parser.feed(text));
          response.on('error', () => {});
        });
        asked.end();
      }),
  );
}

/** By a `subscribe` frame with the cursor. */
export function followWs({ url, token, sessionId, turnId }: Followed): Promise<Heard> {
  return follow(
    ({ after, hear }) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`, {
          headers: { authorization: `Bearer ${token}` },
          perMessageDeflate: false,
        });
        const silence = setTimeout(() => socket.terminate(), silenceMs);
        socket.once('open', () => {
          socket.send(JSON.stringify({ type: 'subscribe', session_id: sessionId, turn_id: turnId, after }));
        });
        socket.on('message', (data: Buffer) => {
          silence.refresh();
          const text = data.toString('utf8');
          const frame = JSON.parse(text) as { readonly type: string; readonly seq?: number };
          if (frame.type === 'error') reject(new Error(`the subscription was answered ${text}`));
          if (frame.seq === undefined) return;
          hear(text);
          if (isTerminalEventType(frame.type)) socket.close();
        });
        socket.on('error', () => {});
        socket.once('close', () => {
          clearTimeout(silence);
          resolve();
        });
      }),
  );
}
