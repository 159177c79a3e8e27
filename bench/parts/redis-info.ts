// What Redis says of itself, asked over a connection of its own; and what was done between two such answers.

import net from 'node:net';

/** Commands, by name; bytes from and to clients; bytes of memory. */
export type RedisFacts = {
  readonly calls: ReadonlyMap<string, number>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly memory: number;
  readonly cpuMs: number;
};

const answerMs = 5_000;

export async function redisFacts(redisUrl: string): Promise<RedisFacts> {
  const text = await info(new URL(redisUrl));
  const number = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
  const stats = [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)];
  return {
    calls: new Map(stats.map(([, name = '', calls = '']) => [name, Number(calls)])),
    bytesIn: number('total_net_input_bytes'),
    bytesOut: number('total_net_output_bytes'),
    memory: number('used_memory'),
    cpuMs: 1_000 * (number('used_cpu_user') + number('used_cpu_sys')),
  };
}

export function redisUse(before: RedisFacts, after: RedisFacts): RedisFacts {
  const names = [...after.calls.keys()].filter((name) => !ours.has(name));
  const calls = names.map((name): [string, number] => [
    name,
    (after.calls.get(name) ?? 0) - (before.calls.get(name) ?? 0),
  ]);
  return {
    calls: new Map(calls.filter(([, count]) => count > 0)),
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    memory: after.memory - before.memory,
    cpuMs: after.cpuMs - before.cpuMs,
  };
}

/** What asking costs is not what is asked for. */
const ours: ReadonlySet<string> = new Set(['info', 'auth']);

export function callsOf({ calls }: RedisFacts): number {
  return [...calls.values()].reduce((sum, count) => sum + count, 0);
}

async function info({ hostname, password, port }: URL): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () => socket.write(`AUTH ${password}\r\nINFO everything\r\n`));
    let text = '';
    socket.setTimeout(answerMs, () => socket.destroy(new Error('Redis does not answer')));
    socket.once('error', reject);
    socket.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
      const head = /\$(\d+)\r\n/.exec(text);
      if (head === null || text.length < head.index + head[0].length + Number(head[1])) return;
      socket.destroy();
      resolve(text);
    });
  });
}
