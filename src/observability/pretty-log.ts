// A log line for a person at a terminal: time, severity, message, then the facts as name=value.

import type { DestinationStream } from 'pino';

const shownElsewhere: ReadonlySet<string> = new Set(['time', 'severity', 'message', 'role', 'pid']);

export function prettyStream(destination: DestinationStream): DestinationStream {
  return { write: (line) => destination.write(prettyLine(line)) };
}

export function prettyLine(line: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const time = plainText(record['time']).slice(11, 23);
  const severity = plainText(record['severity']).padEnd(8);
  const facts = Object.entries(record)
    .filter(([name]) => !shownElsewhere.has(name))
    .map(([name, value]) => `${name}=${factText(value)}`);
  return `${[time, severity, plainText(record['message']), ...facts].join(' ').trimEnd()}\n`;
}

function factText(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value);
}

function plainText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
