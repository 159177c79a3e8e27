// Bytes to a port and what comes back, with nothing in between that would mend what is wrong with them.

import { connect, type Socket } from 'node:net';
import { within } from '../e2e/eventually.ts';

export type RawAnswer = {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** From the last byte of the request to the last byte of the answer. */
  readonly waitedMs: number;
};

const answerDeadlineMs = 10_000;

export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** A request as HTTP/1.1 writes it; `headers` are lines. */
export function requestBytes(line: string, headers: readonly string[], body: string | Buffer = ''): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const framing =
    bytes.length === 0 || headers.some((header) => /^(transfer-encoding|content-length)/i.test(header))
      ? []
      : [`content-length: ${bytes.length}`];
  return Buffer.concat([Buffer.from(`${[line, ...headers, ...framing].join('\r\n')}\r\n\r\n`, 'latin1'), bytes]);
}

/** The first answer that is not a 100. Rejects when none comes or the connection ends before it is whole. */
export async function ask(port: number, bytes: Buffer): Promise<RawAnswer> {
  const socket = connect({ port, host: '127.0.0.1' });
  let sentMs = performance.now();
  try {
    return await within(
      'an answer',
      answerDeadlineMs,
      readAnswer(
        socket,
        () => sentMs,
        () => {
          socket.write(bytes, () => {
            sentMs = performance.now();
          });
        },
      ),
    );
  } finally {
    socket.destroy();
  }
}

function readAnswer(socket: Socket, sentMs: () => number, start: () => void): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let received = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      const answer = parseAnswer(received);
      if (answer !== null) resolve({ ...answer, waitedMs: Math.max(0, performance.now() - sentMs()) });
    });
    const fail = (why: unknown): void =>
      reject(new Error(`${String(why)} after ${JSON.stringify(received.slice(0, 500))}`));
    socket
      .once('error', fail)
      .once('close', () => fail('closed'))
      .once('connect', start);
  });
}

/** null while it is not whole. */
export function parseAnswer(text: string): Omit<RawAnswer, 'waitedMs'> | null {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
  const rest = text.slice(end + 4);
  if (status === 100) return parseAnswer(rest);
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  // A stream has no end; that it began is its answer.
  if (status === 204 || headers.get('content-type')?.startsWith('text/event-stream') === true) {
    return { status, headers, body: '' };
  }
  // What is streamed ends with an empty chunk; what was in it is not looked at.
  if (headers.get('transfer-encoding') === 'chunked')
    return /(^|\r\n)0\r\n\r\n$/.test(rest) ? { status, headers, body: '' } : null;
  const length = headers.get('content-length');
  if (length === undefined || rest.length < Number(length)) return null;
  return { status, headers, body: Buffer.from(rest.slice(0, Number(length)), 'latin1').toString('utf8') };
}

/** Open, and told of its end: of sockets that are there to do nothing well. */
export function openSocket(port: number, pauseOnConnect = false): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject).on('error', () => {});
      if (pauseOnConnect) socket.pause();
      resolve(socket);
    });
  });
}
