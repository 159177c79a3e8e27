// A WebSocket reduced to its TCP connection: upgraded by hand, nothing parsed, so that thousands of
// them cost the measuring process next to nothing. Sends text frames; reads only when told to.

import { connect, type Socket } from 'node:net';

const openLimitMs = 10_000;
const handshakeEnd = Buffer.from('\r\n\r\n');

export class RawSocket {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Resolves when the upgrade was answered with 101. */
  static async open(url: string, token: string): Promise<RawSocket> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const opened = Promise.withResolvers<void>();
    const timer = setTimeout(() => opened.reject(new Error('a WebSocket did not open in time')), openLimitMs);
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      if (!head.includes(handshakeEnd)) return;
      if (head.toString('latin1').startsWith('HTTP/1.1 101')) opened.resolve();
      else opened.reject(new Error(head.toString('latin1').slice(0, 300)));
    };
    socket.on('data', onData);
    socket.on('error', opened.reject);
    socket.once('close', () => opened.reject(new Error('closed')));
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    try {
      await opened.promise;
    } finally {
      clearTimeout(timer);
      socket.off('data', onData);
    }
    socket.on('error', () => {});
    socket.pause();
    return new RawSocket(socket);
  }

  /** Many of them, some at a time. */
  static async openMany(url: string, token: string, count: number): Promise<RawSocket[]> {
    const sockets: RawSocket[] = [];
    while (sockets.length < count) {
      const some = Math.min(50, count - sockets.length);
      sockets.push(...(await Promise.all(Array.from({ length: some }, () => RawSocket.open(url, token)))));
    }
    return sockets;
  }

  onBytes(listener: (chunk: Buffer) => void): void {
    this.#socket.on('data', listener);
    this.#socket.resume();
  }

  /** A masked text frame, the mask all zeros; up to 64 KiB. */
  send(text: string): void {
    const payload = Buffer.from(text);
    const head =
      payload.length < 126
        ? Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0])
        : Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]);
    this.#socket.write(Buffer.concat([head, payload]));
  }

  close(): void {
    this.#socket.destroy();
  }
}
