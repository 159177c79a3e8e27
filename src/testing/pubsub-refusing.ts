// A Pub/Sub that answers every call with one status of gRPC: for what the emulator never says, such as that
// something is not permitted.

import * as grpc from '@grpc/grpc-js';

const bothWays = ['/google.pubsub.v1.Subscriber/StreamingPull'];
const plain = [
  '/google.pubsub.v1.Subscriber/Acknowledge',
  '/google.pubsub.v1.Subscriber/ModifyAckDeadline',
  '/google.pubsub.v1.Subscriber/GetSubscription',
  '/google.pubsub.v1.Publisher/Publish',
  '/google.pubsub.v1.Publisher/GetTopic',
  '/google.iam.v1.IAMPolicy/TestIamPermissions',
];

export class RefusingPubsub {
  readonly calls: string[] = [];
  readonly #server = new grpc.Server();
  #port = 0;

  static async start(code: number): Promise<RefusingPubsub> {
    const refusing = new RefusingPubsub();
    await refusing.#listen(code);
    return refusing;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }

  async #listen(code: number): Promise<void> {
    const status = { code, details: 'as the test wants it' };
    const same = (bytes: Buffer): Buffer => bytes;
    for (const path of plain) {
      const refuse: grpc.handleUnaryCall<Buffer, Buffer> = (_call, answer) => {
        this.calls.push(path);
        answer(status);
      };
      this.#server.register(path, refuse, same, same, 'unary');
    }
    for (const path of bothWays) {
      const refuse: grpc.handleBidiStreamingCall<Buffer, Buffer> = (call) => {
        this.calls.push(path);
        call.emit('error', status);
      };
      this.#server.register(path, refuse, same, same, 'bidi');
    }
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }
}
