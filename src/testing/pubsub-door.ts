// Stands before the Pub/Sub emulator and ends, in their place, the streams of clients that are gone. The emulator
// (0.8.20) notices a stream that its client ends, and no reset and no lost connection (it dies of a
// NoSuchMethodError on the way): for a killed reader it keeps a share of the ordering keys for ever, and sends it
// other messages. Pub/Sub gives them to whoever reads. Bytes pass as they are, whole frames of HTTP/2 at a time.

import net from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

const prefaceBytes = 24;
const headerBytes = 9;
const dataType = 0;
const headersType = 1;
const resetType = 3;
const endOfStream = 0x1;

export class PubsubDoor {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(targetPort: number) {
    this.#server = net.createServer({ noDelay: true }, (client) => this.#pass(client, targetPort));
  }

  static async open(port: number, targetPort: number): Promise<PubsubDoor> {
    const door = new PubsubDoor(targetPort);
    await new Promise<void>((resolve, reject) => {
      door.#server.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
    return door;
  }

  /** Nobody is let in any more, and whoever is in is cut off. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #pass(client: net.Socket, targetPort: number): void {
    const server = net.connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    const open = new Set<number>();
    const follow = (isUp: boolean, type: number, flags: number, stream: number): void => {
      const isLast = (type === headersType || type === dataType) && (flags & endOfStream) !== 0;
      if (isLast || type === resetType) open.delete(stream);
      else if (isUp && type === headersType) open.add(stream);
    };
    const up = new Frames(prefaceBytes, follow.bind(null, true), () => [...open].map(endOf));
    const down = new Frames(0, follow.bind(null, false), () => []);
    client.pipe(up, { end: false }).pipe(server);
    server.pipe(down).pipe(client);
    this.#keep(client, () => up.end());
    this.#keep(server, () => client.destroy());
  }

  #keep(socket: net.Socket, onClose: () => void): void {
    this.#sockets.add(socket);
    // What ended it does not matter: that it did is what the other side is told.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      onClose();
    });
  }
}

type Seen = (type: number, flags: number, stream: number) => void;

/** Passes frames that are there to their end, and says what each is; a part of one at the end is dropped. */
class Frames extends Transform {
  readonly #seen: Seen;
  readonly #last: () => readonly Buffer[];
  #skippedBytes: number;
  #rest = Buffer.alloc(0);

  /** `skippedBytes`: before the first frame; `last`: what is said after the end. */
  constructor(skippedBytes: number, seen: Seen, last: () => readonly Buffer[]) {
    super();
    this.#skippedBytes = skippedBytes;
    this.#seen = seen;
    this.#last = last;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = Buffer.concat([this.#rest, chunk]);
    let end = 0;
    if (this.#skippedBytes <= bytes.byteLength) {
      end = this.#skippedBytes;
      while (bytes.byteLength >= end + headerBytes) {
        const next = end + headerBytes + bytes.readUIntBE(end, 3);
        if (next > bytes.byteLength) break;
        this.#seen(bytes.readUInt8(end + 3), bytes.readUInt8(end + 4), bytes.readUInt32BE(end + 5) & 0x7f_ff_ff_ff);
        end = next;
      }
      this.#skippedBytes = 0;
    }
    this.#rest = bytes.subarray(end);
    done(null, bytes.subarray(0, end));
  }

  override _flush(done: TransformCallback): void {
    for (const frame of this.#last()) this.push(frame);
    done();
  }
}

/** Empty data, and no more after it. */
function endOf(stream: number): Buffer {
  const frame = Buffer.alloc(headerBytes);
  frame.writeUInt8(dataType, 3);
  frame.writeUInt8(endOfStream, 4);
  frame.writeUInt32BE(stream, 5);
  return frame;
}
