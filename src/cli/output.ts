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
  let waiting: (() => void)[] = [];
  const release = (): void => {
    for (const resolve of waiting) resolve();
    waiting = [];
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
        waiting.push(resolve);
      });
    },
  };
}

/** What an agent wrote may steer a terminal: control characters other than line ends and tabs are made visible. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\n' || character === '\t' ? character : '�',
  );
}
