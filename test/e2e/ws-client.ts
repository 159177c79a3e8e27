// One WebSocket to a fleet: frames in, everything that came out kept in order, waits with deadlines.

import { WebSocket, type ClientOptions } from 'ws';
import { isTerminalEventType } from '../../src/core/event.ts';
import { eventually, within } from './eventually.ts';

export type Frame = { readonly type: string; readonly ref?: string; readonly [field: string]: unknown };

const openDeadlineMs = 5_000;

/** An upgrade that was answered with an HTTP status instead. */
export class UpgradeRefused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the upgrade was refused with ${status}`);
    this.name = 'UpgradeRefused';
    this.status = status;
  }
}

export class WsClient {
  readonly frames: Frame[] = [];
  readonly protocol: string;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.protocol = socket.protocol;
    socket.on('message', (data: Buffer) => this.frames.push(JSON.parse(data.toString('utf8')) as Frame));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString('utf8') }));
    });
  }

  static async open(
    url: string,
    options: ClientOptions,
    protocols: readonly string[] = [],
    path = '/ws',
  ): Promise<WsClient> {
    const socket = new WebSocket(url.replace(/^http/, 'ws') + path, [...protocols], options);
    const opened = new Promise<WsClient>((resolve, reject) => {
      // The client listens before anything else can run: the first frame may follow the upgrade at once.
      socket.once('open', () => resolve(new WsClient(socket)));
      socket.once('unexpected-response', (request, response) => {
        request.destroy();
        reject(new UpgradeRefused(response.statusCode ?? 0));
      });
      socket.once('error', reject);
    });
    try {
      return await within('the WebSocket opens', openDeadlineMs, opened);
    } catch (error) {
      socket.on('error', () => {});
      socket.terminate();
      throw error;
    }
  }

  send(frame: unknown): void {
    this.#socket.send(JSON.stringify(frame));
  }

  sendRaw(data: string | Buffer): void {
    this.#socket.send(data);
  }

  /** The first frame, of all that came and will come, that the test accepts. */
  async frame(what: string, accepts: (frame: Frame) => boolean, withinMs = 20_000): Promise<Frame> {
    return await eventually(`a frame: ${what}`, withinMs, () => this.frames.find(accepts));
  }

  /** Frames that answer the ref of a turn, up to its end: its terminal event, an error, or word that no more come. */
  async ended(ref: string, withinMs = 20_000): Promise<Frame[]> {
    const isEnd = ({ type }: Frame): boolean => type === 'ended' || type === 'error' || isTerminalEventType(type);
    await this.frame(`the end of ${ref}`, (frame) => frame.ref === ref && isEnd(frame), withinMs);
    return this.frames.filter((frame) => frame.ref === ref);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await within('the WebSocket closes', openDeadlineMs, this.closed).catch(() => this.#socket.terminate());
  }

  /** As a lost connection: without a closing handshake. */
  cut(): void {
    this.#socket.terminate();
  }
}
