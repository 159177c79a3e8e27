// What the turns of a session have left in its files: each appends a line of its own to `done.txt`.

import assert from 'node:assert/strict';
import type { ReadAgain } from '../faults/kept-history.ts';
import type { RunningCluster } from './running-cluster.ts';

/** A committed turn has left its line once; one that was cut, at most once. */
export async function linesWrong(cluster: RunningCluster, sessionId: string, { turns }: ReadAgain): Promise<string[]> {
  const { status, text } = await cluster.client.request('GET', `/api/v1/sessions/${sessionId}/files/done.txt`);
  assert.ok(status === 200 || status === 404, text);
  const lines = status === 200 ? text.trim().split('\n') : [];
  return turns
    .filter((turn) => turn.session_id === sessionId)
    .flatMap((turn) => {
      const line = /echo (\S+)/.exec(turn.prompt)?.[1];
      if (line === undefined) return [];
      const times = lines.filter((one) => one === line).length;
      const isRight = turn.status === 'completed' ? times === 1 : times <= 1;
      return isRight ? [] : [`${line} of a turn that is ${turn.status} is there ${times} times`];
    });
}
