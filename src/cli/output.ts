// stdout and stderr as commands write them: text in order, waiting for slow readers, and a reader that
// has gone away as an event instead of a crash.

import type { Writable } from 'node:stream';

export type Output = {
  readonly isTerminal: boolean;
  /** Resolves when more may be written. After the reader has gone away it does nothing. */
  write(text: string): Promise<void>;
};

export function createOutput(stream: Writable & { isTTY?: boolean }, onGone: () => void): Output {
  let isGone = false;
  let waiting: (() => void) | null = null;
  const release = (): void => {
    waiting?.();
    waiting = null;
  };
  stream.on('error', () => {
    if (!isGone) onGone();
    isGone = true;
    release();
  });
  stream.on('drain', release);
  return {
    isTerminal: stream.isTTY === true,
    write: async (text) => {
      if (isGone || stream.write(text)) return;
      await new Promise<void>((resolve) => {
        waiting = resolve;
      });
    },
  };
}

/** What an agent wrote may steer a terminal: control characters other than line ends and tabs are made visible. */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/gu, '�');
}
