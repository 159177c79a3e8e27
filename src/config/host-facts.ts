// The only reader of the process's environment and of the machine: what loading needs, as plain data.

import { homedir, hostname, totalmem, availableParallelism } from 'node:os';

export type Environment = Readonly<Record<string, string>>;

export type HostFacts = {
  readonly cores: number;
  readonly memoryBytes: number;
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
  return {
    cores: availableParallelism(),
    // Without a limit, cgroups answer 0 or a number beyond any machine.
    memoryBytes: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
    hostname: hostname(),
    homeDir: homedir(),
    cwd: process.cwd(),
    stderrIsTerminal: process.stderr.isTTY === true,
  };
}
