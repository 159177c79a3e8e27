// Ends an answer in its middle: the client gets what was written so far and sees that the rest is
// missing. A plain destroy() would drop the bytes that Node has not handed to the kernel yet.

import type { ServerResponse } from 'node:http';
import type { Clock } from '../core/clock.ts';

const longestFlushMs = 1000;

export function breakOff(response: ServerResponse, clock: Clock): void {
  const { socket } = response;
  if (socket === null || socket.destroyed) {
    response.destroy();
    return;
  }
  const cancel = clock.after(longestFlushMs, () => socket.destroy());
  socket.once('close', cancel);
  socket.destroySoon();
}
