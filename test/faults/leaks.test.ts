import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdingOf } from '../load/measures.ts';
import { diskUse } from './disk-use.ts';
import { newDataDir, scaled } from './fault-scale.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';
import { trendOf } from './trend.ts';

const cycles = scaled(300);
const warmUpCycles = 100;
const atOnce = 3;

type Sample = {
  readonly residentKiB: number;
  readonly files: number;
  readonly processes: number;
  readonly diskKiB: number;
};

/**
 * What a cycle may seem to take though nothing is kept, per cycle: the heap is collected when it likes, and
 * a WAL file grows until it is copied back. A leak of one event, one descriptor in 50 cycles is more.
 */
const noisePerCycle: Sample = { residentKiB: 60, files: 0.02, processes: 0.01, diskKiB: 4 };

test('sessions that are made, used and deleted leave no memory, descriptor, process or file [leak-free]', {
  timeout: 230_000 * Math.max(1, cycles / 300),
}, async (t) => {
  const dataDir = newDataDir(t);
  await using fleet = await RunningFleet.start({
    dataDir,
    flags: ['--storage', 'sqlite'],
    // A small heap is collected often: what is resident is then what is kept.
    env: { NODE_OPTIONS: '--max-old-space-size=80 --max-semi-space-size=2' },
  });
  const { client, pid } = fleet;
  const samples: Sample[] = [];
  for (let cycle = 0; cycle < cycles; cycle += atOnce) {
    await Promise.all(
      Array.from({ length: atOnce }, async (_, index) => {
        const name = `leak-${cycle + index}`;
        await client.completed('run: echo x > file.txt', name);
        const { status, text } = await client.request('DELETE', `/api/v1/sessions/${name}`);
        assert.ok(status < 300, text);
      }),
    );
    if (cycle < warmUpCycles) continue;
    const { residentMiB, files, processes } = holdingOf(pid);
    samples.push({ residentKiB: residentMiB * 1024, files, processes, diskKiB: await diskUse(dataDir) });
  }
  const slopes: string[] = [];
  for (const kind of Object.keys(noisePerCycle) as (keyof Sample)[]) {
    const values = samples.map((sample) => sample[kind]);
    const { slope, noise } = trendOf(values);
    const perCycle = slope / atOnce;
    const bound = Math.max(noisePerCycle[kind], noise / atOnce);
    t.diagnostic(
      `${kind}: from ${values[0]?.toFixed(0)} to ${values.at(-1)?.toFixed(0)}, ` +
        `${perCycle.toFixed(4)} a cycle over ${values.length * atOnce} cycles, noise ${bound.toFixed(4)}`,
    );
    slopes.push(`${kind} ${perCycle.toFixed(3)} (noise ${bound.toFixed(3)})`);
    assert.ok(perCycle <= bound, `${kind} grew by ${perCycle} a cycle, the noise is ${bound}`);
    // The same values with a leak of two bounds in each cycle would have been caught.
    const leaking = values.map((value, index) => value + 2 * bound * atOnce * index);
    const leak = trendOf(leaking);
    assert.ok(leak.slope / atOnce > Math.max(noisePerCycle[kind], leak.noise / atOnce), `a leak of ${kind} is seen`);
  }
  recordReliability({
    fault: 'sessions made, used and deleted',
    count: `${cycles} cycles`,
    result: `growth per cycle: ${slopes.join(', ')}`,
    control: 'a leak of twice the noise, planted into the same series, is seen',
  });
});
