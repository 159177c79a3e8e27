// The only reader of the process's environment and of the machine: what loading needs, as plain data.

import { homedir, hostname, totalmem, availableParallelism } from 'node:os';

export type Environment = Readonly<Record<string, string>>;

export type HostFacts = {
  readonly cores: number;
  readonly memoryBytes: number;
  /** What a container allows; absent where nothing less than the machine does. */
  readonly memoryLimitBytes?: number;
  readonly hostname: string;
  readonly homeDir: string;
  readonly cwd: string;
  readonly stderrIsTerminal: boolean;
};

export function readEnvironment(): Environment {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

export function readHostFacts(): HostFacts {
  const limit = process.constrainedMemory();
  // Without a limit, cgroups answer 0 or a number beyond any machine.
  const isLimited = limit > 0 && limit < totalmem();
  return {
    cores: availableParallelism(),
    memoryBytes: isLimited ? limit : totalmem(),
    ...(isLimited ? { memoryLimitBytes: limit } : {}),
    hostname: hostname(),
    homeDir: homedir(),
    cwd: process.cwd(),
    stderrIsTerminal: process.stderr.isTTY === true,
  };
}
